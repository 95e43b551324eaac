// Second stage of weight_gradient.cu: what its blocks have summed is added up, always in the same order.
#include "common.cu"

// dweight[e] = Σ_p parts[p, e]: 32 elements a block, so that a warp reads neighbours; its warps share the parts.
extern "C" __global__ void add_parts(const real* parts, real* dweight, int count, int elements)
{
    __shared__ double sums[WARP][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    int element = blockIdx.x * WARP + lane;
    double sum = 0;
    if (element < elements)
        for (int p = warp; p < count; p += warps)
            sum += parts[(long long)p * elements + element];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && element < elements) {
        for (int w = 1; w < warps; w++)
            sum += sums[w][lane];
        dweight[element] = sum;
    }
}
