// Twins: fully_connected_forward and fully_connected_backward of tinycnn.kernels.reference, for few outputs.
// One idea: with few outputs a product of matrices is but a pass over x or the weights, and needs no tiles.
#include "common.cu"

// y[n,k] = Σ_d x[n,d] · weight[k,d] + bias[k], a block for each (n, k).
extern "C" __global__ void forward(const real* x, const real* weight, const real* bias, real* y, int depth, int outputs)
{
    int n = blockIdx.x / outputs, k = blockIdx.x % outputs;
    const real *row = x + (long long)n * depth, *column = weight + (long long)k * depth;
    real sum = 0;
    for (int d = threadIdx.x; d < depth; d += blockDim.x)
        sum += row[d] * column[d];
    double total = block_sum(sum);
    if (threadIdx.x == 0)
        y[blockIdx.x] = total + (bias ? bias[k] : (real)0);
}

// dx[n,d] = Σ_k dy[n,k] · weight[k,d], a thread for each.
extern "C" __global__ void backward_input(const real* dy, const real* weight, real* dx, int depth, int outputs,
                                          long long count)
{
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int d = at % depth;
    long long n = at / depth;
    real sum = 0;
    for (int k = 0; k < outputs; k++)
        sum += dy[n * outputs + k] * weight[(long long)k * depth + d];
    dx[at] = sum;
}

// dweight[k,d] = Σ_n dy[n,k] · x[n,d], 32 columns d a block, whose warps share the images; blockIdx.y is k. The first
// block of each k also adds up dbias[k] = Σ_n dy[n,k].
extern "C" __global__ void backward_weight(const real* dy, const real* x, real* dweight, real* dbias, int images,
                                           int depth, int outputs)
{
    __shared__ real sums[WARP][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP, k = blockIdx.y;
    int d = blockIdx.x * WARP + lane;
    real sum = 0;
    if (d < depth)
        for (int n = warp; n < images; n += warps)
            sum += dy[(long long)n * outputs + k] * x[(long long)n * depth + d];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && d < depth) {
        for (int w = 1; w < warps; w++)
            sum += sums[w][lane];
        dweight[(long long)k * depth + d] = sum;
    }
    if (blockIdx.x > 0)
        return;
    double total = 0;
    for (int n = threadIdx.x; n < images; n += blockDim.x)
        total += dy[(long long)n * outputs + k];
    total = block_sum(total);
    if (threadIdx.x == 0)
        dbias[k] = total;
}
