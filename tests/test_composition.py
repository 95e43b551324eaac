"""Networks inside networks, and residual blocks: names, shapes, gradients, files, fusion."""

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(23)
X = RNG.normal(size=(5, 3, 16, 16)).astype(np.float32)
T = np.array([0, 1, 2, 1, 0])


def conv_norm(filters, number, stride=1) -> list[tc.Layer]:
    return [
        tc.Conv2D(filters, 3, stride=stride, padding=1, bias=False, name=f"conv_{number}"),
        tc.BatchNorm2D(name=f"norm_{number}"),
    ]


def basic_block(filters, stride, name) -> tc.Sequential:
    shortcut = [tc.Conv2D(filters, 1, stride=stride, bias=False, name="conv"), tc.BatchNorm2D(name="norm")]
    body = [*conv_norm(filters, 1, stride), tc.ReLU(), *conv_norm(filters, 2)]
    return tc.Sequential([tc.Residual(body, shortcut if stride > 1 else None, name="sum"), tc.ReLU()], name=name)


def small_resnet(**options) -> tc.Sequential:
    """A stem that is fused, a block with the identity and one with a convolution as shortcut."""
    return tc.Sequential(
        [
            tc.ImageInput((3, 16, 16), name="input"),
            tc.Sequential([*conv_norm(8, 1), tc.ReLU(), tc.MaxPool2D(2)], name="stem"),
            basic_block(8, 1, "block_1"),
            basic_block(12, 2, "block_2"),
            tc.GlobalAveragePool2D(),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        **{"seed": 4, **options},
    )


def torch_twin(net: tc.Sequential):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Basic(nn.Module):
        def __init__(self, channels, filters, stride):
            super().__init__()
            self.conv_1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
            self.norm_1 = nn.BatchNorm2d(filters)
            self.conv_2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            self.norm_2 = nn.BatchNorm2d(filters)
            if stride > 1:
                self.shortcut = nn.Sequential()
                self.shortcut.conv = nn.Conv2d(channels, filters, 1, stride, bias=False)
                self.shortcut.norm = nn.BatchNorm2d(filters)

        def forward(self, x):
            y = self.norm_2(self.conv_2(torch.relu(self.norm_1(self.conv_1(x)))))
            return torch.relu(y + (self.shortcut.norm(self.shortcut.conv(x)) if hasattr(self, "shortcut") else x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem_conv_1, self.stem_norm_1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
            self.block_1, self.block_2, self.fc = Basic(8, 8, 1), Basic(8, 12, 2), nn.Linear(12, 3)

        def forward(self, x):
            x = torch.max_pool2d(torch.relu(self.stem_norm_1(self.stem_conv_1(x))), 2)
            return self.fc(self.block_2(self.block_1(x)).mean(dim=(2, 3)))

    twin = Net().to(torch.float64 if net.dtype == np.float64 else torch.float32)
    state = {translated(name): torch.as_tensor(array.copy()) for name, array in net.state_dict().items()}
    assert not twin.load_state_dict(state, strict=False).unexpected_keys
    return torch, twin


def translated(name: str) -> str:
    return name.replace("stem.", "stem_").replace(".sum.", ".")


def test_nested_names():
    net = small_resnet()
    names = list(net.parameters())
    assert names[0] == "stem.conv_1.weight" and "block_2.sum.shortcut.norm.bias" in names
    assert "block_1.sum.conv_2.weight" in names and len(names) == len(set(names)) == 3 + 6 + 9 + 2  # stem, blocks, fc
    assert net["block_1.sum.conv_1"] is net["block_1"][0].layers[0]
    assert net["block_2"].parameters().keys() == {n.removeprefix("block_2.") for n in names if n.startswith("block_2.")}


@pytest.mark.parametrize("path", ["backward", "train_step"])
def test_gradients_equal_pytorchs(path):
    net = small_resnet(dtype=np.float64)
    x = X.astype(np.float64)
    torch, twin = torch_twin(net)
    images = torch.as_tensor(x, dtype=torch.float64).requires_grad_()
    loss = torch.nn.functional.cross_entropy(twin(images), torch.as_tensor(T))
    loss.backward()
    if path == "backward":
        p = net.forward(x, training=True)
        assert net.loss(p, T) == pytest.approx(loss.item(), rel=1e-12)
        np.testing.assert_allclose(net.backward(T), images.grad.numpy(), atol=1e-12)
    else:
        assert net.train_step(x, T, tc.SGDM(0)) == pytest.approx(loss.item(), rel=1e-12)
    expected = dict(twin.named_parameters())
    for name, gradient in net.gradients().items():
        np.testing.assert_allclose(gradient, expected[translated(name)].grad.numpy(), atol=1e-12, err_msg=name)


def test_a_small_resnet_trains_like_pytorchs():
    net = small_resnet(dtype=np.float64)
    torch, twin = torch_twin(net)
    optimizer, other = tc.SGDM(0.05, momentum=0.9), torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        other.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(torch.as_tensor(X.astype(float))), torch.as_tensor(T))
        loss.backward()
        other.step()
        losses.append(net.train_step(X.astype(float), T, optimizer))
        assert losses[-1] == pytest.approx(loss.item(), rel=1e-9)
    assert losses[-1] < 0.5 * losses[0]
    twin.eval()
    with torch.no_grad():
        p = torch.softmax(twin(torch.as_tensor(X.astype(float))), 1).numpy()
    np.testing.assert_allclose(net.predict(X), p, atol=1e-9)


def test_gradcheck_through_nested_blocks():
    net = small_resnet()
    assert max(tc.gradcheck(net, X[:3], T[:3], samples=6).values()) < 1e-6


def test_fusion_reaches_into_blocks_and_across_their_ends():
    stem = [tc.Conv2D(4, 3, name="c"), tc.BatchNorm2D(name="n")]
    net = tc.Sequential(
        [
            tc.ImageInput((3, 16, 16)),
            tc.Sequential(stem, name="front"),
            tc.ReLU(),
            tc.MaxPool2D(2),
            tc.Residual([tc.Sequential([*conv_norm(4, 1), tc.ReLU()]), tc.MaxPool2D(2)], [tc.AveragePool2D(2)]),
        ]
    )
    plain = tc.Sequential(net.layers, fuse=False)
    assert [type(layer).__name__ for layer in net.plan] == ["ImageInput", "ConvBlock", "FusedResidual"]
    assert [type(layer).__name__ for layer in net.plan[2].rows.layers] == ["ConvBlock"]
    np.testing.assert_allclose(net.predict(X), plain.predict(X), rtol=1e-4, atol=1e-5)


def test_fused_and_plain_train_alike():
    fused, plain = small_resnet(), small_resnet(fuse=False)
    for _ in range(3):
        assert fused.train_step(X, T, tc.SGDM(0.05)) == pytest.approx(plain.train_step(X, T, tc.SGDM(0.05)), rel=1e-4)
    for name, array in fused.state_dict().items():
        np.testing.assert_allclose(array, plain.state_dict()[name], rtol=2e-3, atol=2e-5, err_msg=name)


def test_files_and_repr_build_the_same_network(tmp_path):
    net = small_resnet()
    net.train_step(X, T, tc.SGDM(0.1))
    net.save(tmp_path / "net.safetensors")
    again = tc.load(tmp_path / "net.safetensors")
    assert repr(again) == repr(net) and list(again.state_dict()) == list(net.state_dict())
    assert again.predict(X).tobytes() == net.predict(X).tobytes()
    rebuilt = eval(repr(net), {name: getattr(tc, name) for name in tc.__all__})
    assert repr(rebuilt) == repr(net) and [a.shape for a in rebuilt.state_dict().values()] == [
        a.shape for a in net.state_dict().values()
    ]


def test_dtype_conversion_population_statistics_and_training_reach_inside():
    net = small_resnet()
    p = net.predict(X)
    np.testing.assert_allclose(net.astype(np.float64).predict(X), p, atol=1e-5)
    assert {array.dtype for array in net.state_dict().values()} == {np.dtype(np.float64)}
    net.astype(np.float32)
    trainer = tc.Trainer(net, tc.SGDM(0.02), batch_size=5, batch_norm="population", progress=False)
    history = trainer.fit((X, T), epochs=3)
    assert history[-1]["loss"] < history[0]["loss"]
    stem = net["stem.conv_1"].forward(X)
    np.testing.assert_allclose(net["stem.norm_1"].state["running_mean"], stem.mean(axis=(0, 2, 3)), atol=1e-4)


def test_dropout_inside_a_block_is_off_while_statistics_are_measured():
    net = tc.Sequential(
        [tc.ImageInput((3, 16, 16)), tc.Residual([tc.Dropout(0.9), *conv_norm(3, 1)]), tc.FullyConnected(2)]
    )
    tc.population_statistics(net, (X, T))
    expected = net["residual_1.conv_1"].forward(X).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(net["residual_1.norm_1"].state["running_mean"], expected, atol=1e-5)
    assert not net["residual_1.dropout_1"].paused


def test_summary_shows_what_is_inside():
    text = str(small_resnet().summary())
    lines = text.splitlines()
    assert any(line.startswith("block_1") and "Sequential" in line for line in lines)
    assert any(line.strip().startswith("conv_1") and line.startswith("  ") for line in lines)
    total = sum(array.size for array in small_resnet().parameters().values())
    assert lines[-1].split()[:2] == ["total", f"{total:,}"]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: tc.Residual([tc.Conv2D(4, 3)]),
            r"'residual_1' .*: its layers put out \(4, 14, 14\), but its shortcut",
        ),
        (lambda: tc.Residual([tc.Conv2D(4, 1)], []), r"layers put out \(4, 16, 16\), but its shortcut \(3, 16, 16\)"),
        (lambda: tc.Residual([]), "the list of layers is empty"),
        (
            lambda: tc.Sequential([tc.ImageInput((3, 16, 16)), tc.ReLU()]),
            r"layer 1 is a network with an input layer of its own: .* as in net\[1:\]",
        ),
        (lambda: tc.Residual([tc.ReLU(), tc.FullyConnected(2)], [tc.ReLU]), "is the class ReLU: write ReLU()"),
    ],
)
def test_blocks_that_do_not_fit(build, words):
    with pytest.raises((ValueError, TypeError), match=words):
        tc.Sequential([tc.ImageInput((3, 16, 16)), build()])


def test_a_block_by_itself_says_what_it_needs():
    block = tc.Sequential([tc.Conv2D(4, 3), tc.ReLU()])
    for call in (lambda: block.forward(X), lambda: block.predict(X)):
        with pytest.raises(
            RuntimeError, match="does not know what it will get: put it into a network that begins with"
        ):
            call()


def test_the_same_seed_gives_the_same_weights_nested_or_not():
    flat = tc.Sequential([tc.ImageInput((3, 8, 8)), tc.Conv2D(2, 3), tc.ReLU(), tc.FullyConnected(2)], seed=5)
    nested = tc.Sequential(
        [tc.ImageInput((3, 8, 8)), tc.Sequential([tc.Conv2D(2, 3), tc.ReLU()]), tc.FullyConnected(2)], seed=5
    )
    for a, b in zip(flat.parameters().values(), nested.parameters().values(), strict=True):
        np.testing.assert_array_equal(a, b)
