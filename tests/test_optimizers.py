"""Optimizers: steps worked out by hand."""

import numpy as np
import pytest

import tinycnn as tc

WEIGHT, GRADIENT = 2.0, 0.5  # of both numbers in `make`


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def make(weight: float = WEIGHT, gradient: float = GRADIENT, **factors) -> tc.Sequential:
    """One weight and one bias, both `weight`, and both with gradient `gradient`."""
    net = tc.Sequential([tc.ImageInput((1, 1, 1)), tc.FullyConnected(1, name="fc", **factors)], dtype=np.float64)
    net.load_state_dict({"fc.weight": [[weight]], "fc.bias": [weight]})
    net.forward(np.ones((1, 1, 1, 1)))
    net.backward(np.array([[gradient]]))
    return net


def values(net: tc.Sequential) -> list[float]:
    return [array.item() for array in net.parameters().values()]


def test_sgdm_two_steps_with_a_rate_drop():
    net, optimizer = make(), tc.SGDM(lr=0.1, momentum=0.9, weight_decay=0.01)
    optimizer.step(net)
    # weight: v = −0.1·(0.5 + 0.01·2) = −0.052; the bias does not decay: v = −0.05
    assert values(net) == pytest.approx([1.948, 1.95], rel=1e-14)
    optimizer.lr_scale = 0.2
    optimizer.step(net)
    # The step of before is repeated at its old size: v = 0.9·(−0.052) − 0.02·(0.5 + 0.01·1.948) = −0.0571896.
    # (A velocity in gradient units, as in PyTorch, would give 0.02·(0.9·0.52 + 0.51948) = 0.0197496.)
    assert values(net) == pytest.approx([1.948 - 0.0571896, 1.95 - (0.045 + 0.01)], rel=1e-14)
    assert optimizer.state["velocity/fc.weight"].item() == pytest.approx(-0.0571896)
    assert optimizer.steps == 2


def test_adam_two_steps():
    net, optimizer = make(), tc.Adam(lr=0.1, beta1=0.5, beta2=0.75, eps=1e-8)
    optimizer.step(net)  # m/(1−0.5) = 0.5 and √(v/(1−0.75)) = 0.5: a step of the whole learning rate
    assert values(net) == pytest.approx([1.9, 1.9], abs=1e-8)
    net.backward(np.array([[-1.0]]))
    optimizer.step(net)  # m = 0.5·0.25 − 0.5·1 = −0.375, v = 0.75·0.0625 + 0.25 = 0.296875
    step = 0.1 * (-0.375 / 0.75) / np.sqrt(0.296875 / 0.4375)
    assert values(net) == pytest.approx([1.9 - step] * 2, abs=1e-8)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({}, [1.948, 1.95]),
        ({"lr_factors": {"weight": 2, "bias": 0}}, [2 - 0.2 * 0.52, 2]),
        ({"l2_factors": {"weight": 0, "bias": 3}}, [1.95, 2 - 0.1 * (0.5 + 0.03 * 2)]),
        ({"lr_factors": {"bias": 10}, "l2_factors": {"weight": 0.5}}, [2 - 0.1 * 0.51, 1.5]),
    ],
)
def test_factors(factors, expected):
    net = make(**factors)
    tc.SGDM(lr=0.1, weight_decay=0.01).step(net)
    assert values(net) == pytest.approx(expected, rel=1e-14)


def test_decay_reaches_scale_and_offset_of_batch_norm_but_no_bias():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(1, 3, name="conv"), tc.BatchNorm2D(name="norm")])
    net.load_state_dict({name: np.ones_like(array) for name, array in net.state_dict().items()})
    net.forward(np.ones((1, 1, 4, 4)))
    net.backward(np.zeros((1, 1, 2, 2)))
    tc.SGDM(lr=1, weight_decay=0.25).step(net)
    assert {name: set(array.ravel().tolist()) for name, array in net.parameters().items()} == {
        "conv.weight": {0.75},
        "conv.bias": {1.0},
        "norm.weight": {0.75},
        "norm.bias": {0.75},
    }


def test_clipping_scales_all_gradients_together():
    net = make(gradient=3.0)  # the joint norm of 3 and 3 is √18
    tc.SGDM(lr=1, max_grad_norm=1).step(net)
    assert values(net) == pytest.approx([2 - 1 / np.sqrt(2)] * 2)
    net = make(gradient=3.0)
    tc.SGDM(lr=1, max_grad_norm=5).step(net)
    assert values(net) == [-1, -1]
    net = make(gradient=0.0)
    tc.SGDM(lr=1, max_grad_norm=1e-3).step(net)
    assert values(net) == [2, 2]


def test_step_changes_the_arrays_in_place_and_no_gradient():
    net = make()
    weight, gradient = net.parameters()["fc.weight"], net.gradients()["fc.weight"].copy()
    tc.SGDM(lr=0.1, weight_decay=1, max_grad_norm=0.1).step(net)
    assert net.parameters()["fc.weight"] is weight and weight != WEIGHT
    assert net.gradients()["fc.weight"] == gradient


def test_memory_follows_the_dtype():
    net, optimizer = make().astype(np.float32), tc.SGDM(lr=0.1)
    for dtype in (np.float32, np.float64):
        net.astype(dtype)
        net.forward(np.ones((1, 1, 1, 1)))
        net.backward(np.array([[GRADIENT]]))
        optimizer.step(net)
        assert optimizer.state["velocity/fc.bias"].dtype == net.parameters()["fc.bias"].dtype == dtype
    assert values(net)[1] == pytest.approx(2 - 0.05 - 0.095, rel=1e-6)


def test_a_step_before_backward_changes_nothing():
    net = tc.Sequential([tc.ImageInput((1, 1, 1)), tc.FullyConnected(1, name="fc")])
    optimizer = tc.Adam()
    with pytest.raises(RuntimeError, match=r"fc.weight has no gradient: call net.forward"):
        optimizer.step(net)
    assert optimizer.steps == 0 and optimizer.state == {}


class AtOnce:
    """Kernels that change all parameters in one call, and count the calls."""

    def __init__(self):
        self.calls = 0

    def sgdm_update_all(self, weights, gradients, velocities, lrs, momentum, weight_decays):
        self.calls += 1
        for w, g, v, lr, decay in zip(weights, gradients, velocities, lrs(), weight_decays, strict=True):
            tc.kernels.reference.sgdm_update(w, g, v, lr, momentum, decay)

    def adam_update_all(self, weights, gradients, means, squares, lrs, beta1, beta2, eps, weight_decays, step):
        self.calls += 1
        for w, g, m, s, lr, decay in zip(weights, gradients, means, squares, lrs(), weight_decays, strict=True):
            tc.kernels.reference.adam_update(w, g, m, s, lr, beta1, beta2, eps, decay, step())


@pytest.mark.parametrize("kind", [tc.SGDM, tc.Adam])
def test_all_parameters_at_once_where_the_kernels_can(kind, monkeypatch):
    factors = {"lr_factors": {"bias": 3}, "l2_factors": {"bias": 0.5}}
    options = {"lr": 0.1, "weight_decay": 0.01, "max_grad_norm": 0.6}
    (one_by_one, at_once), optimizers = (make(**factors) for _ in range(2)), [kind(**options) for _ in range(2)]
    k = AtOnce()
    for scale in (1, 0.5):
        for optimizer in optimizers:
            optimizer.lr_scale = scale
        optimizers[0].step(one_by_one)
        with monkeypatch.context() as patch:
            patch.setattr(tc.kernels, "for_array", lambda *arrays: k)
            optimizers[1].step(at_once)
    assert k.calls == 2 and values(at_once) == pytest.approx(values(one_by_one), rel=1e-14)
    memories = [{name: array.item() for name, array in optimizer.state.items()} for optimizer in optimizers]
    assert memories[1] == pytest.approx(memories[0], rel=1e-14) and optimizers[1].steps == 2


def test_a_subclass_with_an_update_of_its_own_is_asked_parameter_by_parameter(monkeypatch):
    class Sign(tc.SGDM):
        def update(self, weight, gradient, *memory, lr, weight_decay):
            weight -= lr * np.sign(gradient)

    net = make()
    monkeypatch.setattr(tc.kernels, "for_array", lambda *arrays: AtOnce())
    Sign(lr=0.5).step(net)
    assert values(net) == [1.5, 1.5]


@pytest.mark.parametrize(
    ("make_optimizer", "words"),
    [
        (lambda: tc.SGDM(lr=-1), "lr is -1"),
        (lambda: tc.SGDM(lr=float("nan")), "lr is nan"),
        (lambda: tc.SGDM(weight_decay=-0.1), "weight_decay -0.1"),
        (lambda: tc.SGDM(momentum=1), "momentum is 1"),
        (lambda: tc.SGDM(max_grad_norm=0), "max_grad_norm is 0"),
        (lambda: tc.Adam(beta1=1), "beta1 is 1"),
        (lambda: tc.Adam(beta2=-0.5), "beta2 -0.5"),
    ],
)
def test_arguments(make_optimizer, words):
    with pytest.raises(ValueError, match=words):
        make_optimizer()


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(tc.SGDM()) == "SGDM()"
    optimizer = tc.Adam(0.1, beta2=0.5, max_grad_norm=1)
    assert repr(optimizer) == "Adam(lr=0.1, beta2=0.5, max_grad_norm=1)"
    assert vars(eval(repr(optimizer), vars(tc))) == vars(optimizer)


def test_an_optimizer_of_ones_own():
    class Sign(tc.Optimizer):
        def update(self, weight, gradient, *state, lr, weight_decay):
            weight -= lr * np.sign(gradient)

    net, optimizer = make(), Sign(lr=0.5)
    optimizer.step(net)
    assert values(net) == [1.5, 1.5] and repr(optimizer) == "Sign(lr=0.5)"
