"""Networks to look into, and the same in PyTorch, written down by hand."""

import numpy as np

import tinycnn as tc


def nested_network(dtype=np.float64, ends=True, dropout=0.0):
    """Every way of nesting: a residual block with a shortcut of its own, and a row in a row."""
    layers = [
        tc.ImageInput((3, 12, 12), normalization="zscore", name="input"),
        tc.Conv2D(4, 3, padding="same", name="conv"),
        tc.BatchNorm2D(name="norm"),
        tc.ReLU(name="relu"),
        tc.Residual(
            [tc.Conv2D(5, 3, padding=1, name="conv"), tc.BatchNorm2D(name="norm"), tc.ReLU(name="relu")],
            shortcut=[tc.Conv2D(5, 1, name="conv")],
            name="block",
        ),
        tc.Sequential(
            [tc.MaxPool2D(2, name="pool"), tc.Residual([tc.Conv2D(5, 3, padding=1, name="conv")], name="inner")],
            name="stage",
        ),
        tc.Dropout(dropout, name="dropout"),
        tc.FullyConnected(3, name="fc"),
    ]
    if ends:
        layers += [tc.Softmax(name="softmax"), tc.ClassificationOutput(name="output")]
    net = tc.Sequential(layers, seed=1, dtype=dtype)
    rng = np.random.default_rng(2)
    net["input"].fit(rng.normal(3, 2, (20, 3, 12, 12)))
    for norm in ("norm", "block.norm"):
        net[norm].state["running_mean"][...] = rng.normal(0, 0.3, len(net[norm].state["running_mean"]))
        net[norm].state["running_var"][...] = rng.uniform(0.5, 2, len(net[norm].state["running_var"]))
        net[norm].parameters["weight"][...] = rng.uniform(0.5, 2, len(net[norm].parameters["weight"]))
        net[norm].parameters["bias"][...] = rng.normal(0, 0.3, len(net[norm].parameters["bias"]))
    return net


def in_torch(net, x, training=False):
    """The outputs of `nested_network` for a tensor x, by layer, as PyTorch computes them: {name: tensor}."""
    import torch
    import torch.nn.functional as F

    def p(name):
        return torch.from_numpy(net.state_dict()[name].copy())

    def norm(x, name):
        statistics = p(f"{name}.running_mean"), p(f"{name}.running_var")
        return F.batch_norm(x, *statistics, p(f"{name}.weight"), p(f"{name}.bias"), training, eps=1e-5)

    def conv(x, name, padding=1):
        return F.conv2d(x, p(f"{name}.weight"), p(f"{name}.bias"), padding=padding)

    y = {"input": (x - p("input.mean")) / p("input.std")}
    y["conv"] = conv(y["input"], "conv")
    y["norm"] = norm(y["conv"], "norm")
    y["relu"] = F.relu(y["norm"])
    y["block.conv"] = conv(y["relu"], "block.conv")
    y["block.norm"] = norm(y["block.conv"], "block.norm")
    y["block.relu"] = F.relu(y["block.norm"])
    y["block.shortcut.conv"] = conv(y["relu"], "block.shortcut.conv", padding=0)
    y["block"] = y["block.relu"] + y["block.shortcut.conv"]
    y["stage.pool"] = F.max_pool2d(y["block"], 2)
    y["stage.inner.conv"] = conv(y["stage.pool"], "stage.inner.conv")
    y["stage.inner"] = y["stage"] = y["stage.pool"] + y["stage.inner.conv"]
    y["fc"] = F.linear(y["stage"].flatten(1), p("fc.weight"), p("fc.bias"))
    return y


def linear_network(classes=3, shape=(2, 4, 5), seed=0):
    """One fully connected layer, of which everything is known: S = W·x + b."""
    return tc.Sequential(
        [tc.ImageInput(shape), tc.FullyConnected(classes, name="fc"), tc.Softmax(), tc.ClassificationOutput()],
        seed=seed,
        dtype=np.float64,
    )


def weights_of(net, target):
    """A linear network's weights of one class, shaped like an image."""
    return net["fc"].parameters["weight"][target].reshape(net.input_shape)
