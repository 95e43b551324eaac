// Twins: max_pool2d_forward, max_pool2d_backward, average_pool2d_forward, average_pool2d_backward of
// tinycnn.kernels.reference.
// One idea: backwards too, a thread for each number written: a pixel asks the windows it lies in for their gradients,
// so that windows may overlap and no two threads write to the same place.
#include "common.cu"

typedef unsigned char byte;

struct Windows {
    int height, width, oh, ow, pool_down, pool_across, stride_down, stride_across, top, left;
};

// Whether value takes the maximum's place: the first NaN does, and stays.
__device__ __forceinline__ bool exceeds(real value, real old) { return !(value <= old) && old == old; }

extern "C" __global__ void max_forward(const real* x, real* y, INDEX* argmax, Windows w, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = int(at % w.ow) * w.stride_across - w.left, i = int(at / w.ow % w.oh) * w.stride_down - w.top;
    const real* plane = x + at / w.ow / w.oh * w.height * w.width;
    real best = 0;
    int index = -1;
    for (int a = max(0, -i); a < w.pool_down && i + a < w.height; a++)
        for (int b = max(0, -j); b < w.pool_across && j + b < w.width; b++) {
            real value = plane[(i + a) * w.width + j + b];
            if (index < 0 || exceeds(value, best)) {
                best = value;
                index = a * w.pool_across + b;
            }
        }
    y[at] = best;
    argmax[at] = index;
}

// The windows o whose pixel tap lies at `at`: o·stride + tap − before = at, with 0 ≤ tap < pool.
__device__ __forceinline__ int first_window(int at, int before, int pool, int stride)
{
    int first = at + before - pool + 1;
    return first <= 0 ? 0 : (first + stride - 1) / stride;
}

extern "C" __global__ void max_backward(const real* dy, const INDEX* argmax, real* dx, Windows w, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = at % w.width, i = at / w.width % w.height;
    unsigned plane = at / w.width / w.height * w.oh * w.ow;
    real sum = 0;
    for (int o = first_window(i, w.top, w.pool_down, w.stride_down);
         o < w.oh && o * w.stride_down <= i + w.top; o++)
        for (int p = first_window(j, w.left, w.pool_across, w.stride_across);
             p < w.ow && p * w.stride_across <= j + w.left; p++) {
            int tap = (i + w.top - o * w.stride_down) * w.pool_across + j + w.left - p * w.stride_across;
            if (argmax[plane + o * w.ow + p] == tap)
                sum += dy[plane + o * w.ow + p];
        }
    dx[at] = sum;
}

extern "C" __global__ void average_forward(const real* x, real* y, Windows w, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = int(at % w.ow) * w.stride_across - w.left, i = int(at / w.ow % w.oh) * w.stride_down - w.top;
    const real* plane = x + at / w.ow / w.oh * w.height * w.width;
    real sum = 0;
    for (int a = max(0, -i); a < w.pool_down && i + a < w.height; a++)
        for (int b = max(0, -j); b < w.pool_across && j + b < w.width; b++)
            sum += plane[(i + a) * w.width + j + b];
    y[at] = sum / (w.pool_down * w.pool_across);
}

extern "C" __global__ void average_backward(const real* dy, real* dx, Windows w, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = at % w.width, i = at / w.width % w.height;
    unsigned plane = at / w.width / w.height * w.oh * w.ow;
    real sum = 0;
    for (int o = first_window(i, w.top, w.pool_down, w.stride_down);
         o < w.oh && o * w.stride_down <= i + w.top; o++)
        for (int p = first_window(j, w.left, w.pool_across, w.stride_across);
             p < w.ow && p * w.stride_across <= j + w.left; p++)
            sum += dy[plane + o * w.ow + p];
    dx[at] = sum / (w.pool_down * w.pool_across);
}
