// Twins: cross_channel_norm_forward and cross_channel_norm_backward of tinycnn.kernels.reference.
// One idea: a thread for each number, neighbouring threads at neighbouring pixels, so that a warp reads whole lines of
// each of the window's channels; the sums are computed again in the gradient rather than stored.
#include "common.cu"

// s[c] = k + α/size · Σ_j x[j]² over the channels j from c − before to c + after that exist; `pixel` is x[0]'s place.
__device__ __forceinline__ real denominator(const real* x, long long pixel, int c, int channels, int plane, int before,
                                            int after, real share, real k)
{
    real sum = 0;
    for (int j = max(0, c - before); j <= min(channels - 1, c + after); j++) {
        real value = x[pixel + (long long)j * plane];
        sum += value * value;
    }
    return k + share * sum;
}

// y = x / s^β and, with dy, ratio = dy·x / s^(β+1).
extern "C" __global__ void divide(const real* x, const real* dy, real* y, int channels, int plane, int before,
                                  int after, real share, real exponent, real k, long long count)
{
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int c = at / plane % channels;
    long long pixel = at - (long long)c * plane;
    real s = denominator(x, pixel, c, channels, plane, before, after, share, k);
    y[at] = dy ? dy[at] * x[at] * pow(s, -exponent - 1) : x[at] * pow(s, -exponent);
}

// dx = dy / s^β − 2·β·α/size · x · Σ_j ratio[j] over the channels j whose sum s[j] holds x[c].
extern "C" __global__ void input_gradient(const real* x, const real* dy, const real* ratio, real* dx, int channels,
                                          int plane, int before, int after, real share, real exponent, real k,
                                          long long count)
{
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int c = at / plane % channels;
    long long pixel = at - (long long)c * plane;
    real s = denominator(x, pixel, c, channels, plane, before, after, share, k), sum = 0;
    for (int j = max(0, c - after); j <= min(channels - 1, c + before); j++)
        sum += ratio[pixel + (long long)j * plane];
    dx[at] = dy[at] * pow(s, -exponent) - 2 * exponent * share * x[at] * sum;
}
