"""Without PyTorch: one sentence that names the package, and nothing else that fails."""

import sys

import numpy as np
import pytest

import tinycnn as tc


@pytest.fixture
def net(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    return tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc")])


def test_missing_torch(net):
    with pytest.raises(ImportError, match="^tc.from_torch needs the torch package: pip install torch$"):
        tc.from_torch(object(), input_shape=(1, 2, 2))
    with pytest.raises(ImportError, match="^tc.to_torch needs the torch package: pip install torch$"):
        tc.to_torch(net)


def test_a_state_of_arrays_needs_no_torch(net):
    state = tc.interop.torch_state(net, {"0.weight": np.ones((2, 4)), "0.bias": np.zeros(2)})
    assert list(state) == ["fc.weight", "fc.bias"]
