"""What a new user does in the first hour, on scikit-learn's digits: each of these once went wrong without a word.

What the command line does in that hour is in `tests/covid/test_cli.py`.
"""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tinycnn as tc

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = IMAGES.reshape(-1, 1, 8, 8).astype(np.float32)
TRAIN, TEST = slice(0, 1200), slice(1200, None)


def layers(relu=tc.ReLU) -> list[tc.Layer]:
    return [
        tc.ImageInput((1, 8, 8), normalization="zerocenter", name="input"),
        tc.Conv2D(8, 3, padding="same", name="conv_1"),
        tc.BatchNorm2D(name="norm_1"),
        relu(name="relu_1"),
        tc.MaxPool2D(2, name="pool_1"),
        tc.FullyConnected(10, name="fc"),
        tc.Softmax(),
        tc.ClassificationOutput(),
    ]


def accuracy(net: tc.Sequential) -> float:
    return float((net.predict(IMAGES[TEST]).argmax(axis=1) == LABELS[TEST]).mean())


def train(net: tc.Sequential, epochs: int = 3) -> tc.Sequential:
    tc.Trainer(net, tc.SGDM(0.02), progress=False).fit((IMAGES[TRAIN], LABELS[TRAIN]), epochs=epochs)
    return net


@pytest.fixture(scope="module")
def net() -> tc.Sequential:
    net = train(tc.Sequential(layers(), seed=1))
    assert accuracy(net) > 0.85
    return net


def test_subclassing_a_built_in_layer():
    class Silent(tc.ReLU):
        def forward(self, x, training=False):
            return super().forward(x, training) * 0

        def backward(self, dy):
            return dy * 0

    net = train(tc.Sequential(layers(Silent), seed=1), epochs=1)
    assert np.ptp(net.predict(IMAGES[TEST]), axis=0).max() == 0  # nothing of an image comes through
    assert not net.gradients()["conv_1.weight"].any()


def test_the_first_layers_as_a_feature_extractor(net):
    before = accuracy(net)
    features = tc.Sequential(net.layers[:5])
    assert accuracy(net) == before
    assert features.predict(IMAGES[:3]).shape == net[:5].predict(IMAGES[:3]).shape == (3, 8, 4, 4)


def test_a_pytorch_state_of_other_names(net):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    ).eval()
    with pytest.raises(ValueError, match=r"none of the state's names is .* tc\.from_torch"):
        net.load_state_dict(module.state_dict(), strict=False)
    scores = tc.from_torch(module, input_shape=(1, 8, 8)).predict(IMAGES[:50])
    with torch.no_grad():
        np.testing.assert_allclose(scores, module(torch.as_tensor(IMAGES[:50])).numpy(), rtol=0, atol=1e-5)
    there = tc.to_torch(net)
    with torch.no_grad():
        np.testing.assert_allclose(there(torch.as_tensor(IMAGES[:50])), net.predict(IMAGES[:50]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", ["backward", "train_step"])
def test_gradcheck_on_flat_backgrounds(net, path):
    report = tc.gradcheck(net, IMAGES[:6], LABELS[:6], samples=6, path=path)
    assert report.ok and max(report.values()) < 1e-6, report


def test_filters_of_three_channels_on_an_image_of_one():
    with pytest.raises(ValueError, match="weight has shape .* it fits images of 3 channels"):
        tc.kernels.cpu.conv2d_forward(IMAGES[:2], np.zeros((4, 3, 3, 3), np.float32), None)


def test_no_image_is_left_out_by_default():
    trainer = tc.Trainer(tc.Sequential(layers()), tc.SGDM(0.01), batch_size=50, progress=False)
    assert len(trainer.fit((IMAGES[:110], LABELS[:110]), epochs=1)) == 3


def test_early_stopping_without_validation():
    trainer = tc.Trainer(tc.Sequential(layers()), tc.SGDM(0.01), callbacks=[tc.EarlyStopping()], progress=False)
    with pytest.raises(ValueError, match="validation"):
        trainer.fit((IMAGES, LABELS), epochs=1)
    assert trainer.iteration == 0


def test_an_input_layer_that_nobody_fitted():
    net = tc.Sequential(layers())
    with pytest.warns(UserWarning, match=r"'input' normalizes by statistics that were never measured.*\.fit\(x\)"):
        net.train_step(IMAGES[:8], LABELS[:8], tc.SGDM(0.01))


def test_a_second_fit_that_has_nothing_to_do():
    trainer = tc.Trainer(tc.Sequential(layers()), tc.SGDM(0.01), progress=False)
    trainer.fit((IMAGES[:64], LABELS[:64]), epochs=2)
    with pytest.warns(UserWarning, match=r"fit\(epochs=2\) has nothing to do: 2 epochs are finished.* epochs=4"):
        trainer.fit((IMAGES[:64], LABELS[:64]), epochs=2)
    assert "finished in all" in tc.Trainer.fit.__doc__.splitlines()[0]


def test_pandas_torch_and_lists_go_in_everywhere(net):
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    p = net.predict(IMAGES[:8])
    for x, t in (
        (list(IMAGES[:8]), pandas.Series(LABELS[:8], index=range(100, 108))),
        (torch.as_tensor(IMAGES[:8]).requires_grad_(), torch.as_tensor(LABELS[:8])),
        (IMAGES[:8].tolist(), LABELS[:8].tolist()),
    ):
        np.testing.assert_array_equal(net.predict(x), p)
        assert net.loss(net.forward(x), t) == net.loss(net.forward(IMAGES[:8]), LABELS[:8])
        other = tc.Sequential(layers(), seed=2)
        other["input"].fit(IMAGES)
        other.forward(x, training=True)
        other.backward(t)
        other.train_step(x, t, tc.SGDM(0.01))
        tc.Trainer(other, tc.SGDM(0.01), progress=False).fit((x, t), epochs=1)


@pytest.mark.parametrize(
    ("call", "error", "remedy"),
    [
        (lambda net: net.loss(net.predict(IMAGES[:2]), ["cat", "dog"]), TypeError, r"np\.unique|numpy\.unique"),
        (lambda net: net.loss(net.predict(IMAGES[:2]), np.eye(10, dtype=int)[:2]), ValueError, r"argmax\(axis=1\)"),
        (lambda net: net.save("/no/such/folder/net.safetensors"), OSError, "make the folder|create the folder|folder"),
        (lambda net: net.train_step(IMAGES[:2], LABELS[:2], "adam"), TypeError, r"tc\.Adam\(\)"),
        (lambda net: net.train_step(IMAGES[:2], LABELS[:2], tc.SGDM), TypeError, "with brackets"),
        (lambda net: tc.Sequential([tc.ImageInput((1, 8, 8)), tc.ReLU]), TypeError, r"write ReLU\(\), with brackets"),
    ],
)
def test_errors_name_the_right_remedy(net, call, error, remedy):
    with pytest.raises(error, match=remedy) as caught:
        call(net)
    assert "\n" not in str(caught.value) and "free some space" not in str(caught.value)
