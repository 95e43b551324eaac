"""The emulator finds the mistakes it is there to find: planted kernels, wrong in one way each."""

import numpy as np
import pytest

from tests.emulation import emulate
from tinycnn.kernels.gpu import launch

pytestmark = pytest.mark.skipif(emulate.COMPILER is None, reason="no g++ to emulate a GPU with")

KERNELS = """
// Adds up a block's numbers through shared memory.
extern "C" __global__ void total(const real* x, real* y, int count)
{
    __shared__ real kept[64];
    kept[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0)
        for (int k = 0; k < count; k++)
            y[blockIdx.x] += kept[k];
}

extern "C" __global__ void total_without_barrier(const real* x, real* y, int count)
{
    __shared__ real kept[64];
    kept[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    if (threadIdx.x == 63)
        for (int k = 0; k < count; k++)
            y[blockIdx.x] += kept[k];
}

extern "C" __global__ void barrier_for_some(real* y)
{
    if (threadIdx.x < 40)
        __syncthreads();
    y[0] = 1;
}

extern "C" __global__ void lanes(const real* x, real* y)
{
    y[threadIdx.x] = x[threadIdx.x] + __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

struct Pair { real* y; int at; real value; };
extern "C" __global__ void put(Pair pair) { if (threadIdx.x == 0) pair.y[pair.at] = pair.value; }
"""


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    (tmp_path / "planted.cu").write_text(KERNELS)
    monkeypatch.setattr(launch, "FOLDER", tmp_path)
    with emulate.emulated():
        emulate._library.cache_clear()
        yield


def start(kernel, *args, grid=1, block=64):
    launch.launch("planted", kernel, grid, block, *args, dtype=np.float64)


def test_blocks_barriers_and_shuffles():
    x, y = np.random.default_rng(0).random(192), np.zeros(3)
    start("total", x, y, 64, grid=3)
    np.testing.assert_allclose(y, x.reshape(3, 64).sum(axis=1))
    pairs = np.zeros(64)
    start("lanes", x[:64].copy(), pairs)
    np.testing.assert_array_equal(pairs.reshape(32, 2), x[:64].reshape(32, 2).sum(axis=1, keepdims=True).repeat(2, 1))


def test_a_missing_barrier_changes_the_result_with_the_order_of_threads(monkeypatch):
    x, forwards, backwards = np.random.default_rng(0).random(64), np.zeros(1), np.zeros(1)
    start("total_without_barrier", x, forwards, 64)
    monkeypatch.setattr(emulate, "backwards", True)
    start("total_without_barrier", x, backwards, 64)
    assert forwards != backwards


def test_a_barrier_that_some_threads_miss():
    with pytest.raises(AssertionError, match="planted.cu, barrier_for_some: threads of one warp stopped at different"):
        start("barrier_for_some", np.zeros(1))


def test_structs_by_value_and_writing_outside():
    y = np.zeros(4)
    start("put", (y, 3, 2.5))
    np.testing.assert_array_equal(y, [0, 0, 0, 2.5])
    for outside in (-1, 4):
        with pytest.raises(AssertionError, match="planted.cu, put: wrote outside an array"):
            start("put", (y, outside, 1.0))


def test_blocks_are_whole_warps():
    with pytest.raises(AssertionError, match="not whole warps"):
        start("barrier_for_some", np.zeros(1), block=40)
