"""Residual and nested networks become PyTorch modules of the same numbers and names, and come back."""

import numpy as np
import pytest

import tinycnn as tc
from tests.test_composition import T, X, small_resnet

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_resnet_in_pytorch_and_back(dtype):
    net = small_resnet(dtype=dtype)
    x = X.astype(dtype)
    net.train_step(x, T, tc.SGDM(0.05))
    module = tc.to_torch(net)
    with torch.no_grad():
        p = module(torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(p, net.predict(x), atol=1e-6 if dtype == np.float32 else 1e-12)
    state = {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert state.keys() == net.state_dict().keys()
    again = tc.from_torch(module, input_shape=(3, 16, 16), output=None)
    assert again.state_dict().keys() == net.state_dict().keys()
    assert all(np.array_equal(array, net.state_dict()[name]) for name, array in again.state_dict().items())
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_gradients_in_training_equal_the_modules():
    net = small_resnet(dtype=np.float64)
    module = tc.to_torch(net[:-2]).train()
    x = X.astype(np.float64)
    torch.nn.functional.cross_entropy(module(torch.as_tensor(x)), torch.as_tensor(T)).backward()
    net.forward(x, training=True)
    net.backward(T)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(net.gradients()[name], parameter.grad.numpy(), atol=1e-12, err_msg=name)


def test_a_layer_called_shortcut_is_refused():
    body = [tc.Conv2D(3, 1, name="shortcut")]
    net = tc.Sequential([tc.ImageInput((3, 4, 4)), tc.Residual(body, [tc.Conv2D(3, 1, name="c")], name="r")])
    with pytest.raises(ValueError, match="'r' .*: a layer inside is called \"shortcut\", as the row beside it"):
        tc.to_torch(net)
