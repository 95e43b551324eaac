// The start of every kernel file: sums over the threads of a block in an order that never changes, so that a kernel
// gives the same bits every run. `real` is float or double; blocks are whole warps.

#define WARP 32
#define ALL_LANES 0xffffffffu

// A 2 × 2 window's pixels have the numbers 0 … 3, so these are of none:
#define STOPPED 4  // in an argmax: the window's maximum did not pass the ReLU, and gets no gradient
#define NO_PIXEL 5  // of a row that lies in no window: equals no argmax, nor does the number after it

template <class T> __device__ __forceinline__ T warp_sum(T value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

// Σ value over the block's threads, in every thread: lanes first, then warps.
__device__ __forceinline__ double block_sum(double value)
{
    __shared__ double of_warp[WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    value = warp_sum(value);
    if (lane == 0)
        of_warp[warp] = value;
    __syncthreads();
    value = warp_sum(lane < blockDim.x / WARP ? of_warp[lane] : 0.0);
    __syncthreads();  // of_warp may be written again
    return value;
}

// What makes batch norm's dx of its dy and x: dx = scale·dy + slope·(x − mean) + offset, one for each channel.
struct __align__(4 * sizeof(real)) Factors {
    real mean, scale, slope, offset;
};
