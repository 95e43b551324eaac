// Twins: image_input_forward, relu_forward, relu_backward, all_finite, dropout_backward of tinycnn.kernels.reference.
// One idea: a thread an element, neighbours side by side, so that a warp reads and writes whole lines of memory.
#include "common.cu"

extern "C" __global__ void standardize(const real* x, const real* mean, const real* std, real* y, unsigned size,
                                       unsigned count)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        unsigned pixel = i % size;
        real centred = x[i] - mean[pixel];
        y[i] = std ? centred / std[pixel] : centred;
    }
}

extern "C" __global__ void relu_forward(const real* x, real* y, long long count)
{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < count)
        y[i] = x[i] <= 0 ? (real)0 : x[i];  // a NaN stays one
}

extern "C" __global__ void relu_backward(const real* dy, const real* y, real* dx, long long count)
{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < count)
        dx[i] = y[i] > 0 ? dy[i] : (real)0;
}

extern "C" __global__ void multiply(const real* a, const real* b, real* y, long long count)
{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < count)
        y[i] = a[i] * b[i];
}

// strange[block] = how many of the block's numbers are NaN or infinite: x·0 is 0 for all others.
extern "C" __global__ void count_strange(const real* x, int* strange, long long count)
{
    double found = 0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count;
         i += gridDim.x * (long long)blockDim.x)
        found += x[i] * (real)0 == 0 ? 0 : 1;
    found = block_sum(found);
    if (threadIdx.x == 0)
        strange[blockIdx.x] = found > 0;
}
