// Twins: the four layers convolution, batch norm, ReLU and 2 × 2 max pooling, one after the other.
// One idea: which pixel of a window will be the maximum depends on z and the sign of γ alone, so it is found when z is
// made (see epilogue.cu); what is left to do works on arrays of the pooled size. Here is that, and, for convolutions
// that `correlate` does not serve, the same from a stored z.
#include "peak.cu"

// y = max(0, (peak − μ) · scale + β), a block for each plane; argmax becomes STOPPED where the ReLU stops the maximum.
extern "C" __global__ void
normalize_peaks(const real* __restrict__ peak, const real* __restrict__ mean, const real* __restrict__ variance,
                const real* __restrict__ gamma, const real* __restrict__ beta, real eps, real* __restrict__ y,
                unsigned char* __restrict__ argmax, int channels, int size)
{
    int c = blockIdx.x % channels;
    real centre = mean[c], scale = gamma[c] / sqrt(variance[c] + eps), offset = beta[c];
    long long plane = (long long)blockIdx.x * size;
    #pragma unroll 4
    for (int k = threadIdx.x; k < size; k += blockDim.x) {
        real v = (peak[plane + k] - centre) * scale + offset;
        y[plane + k] = v <= 0 ? (real)0 : v;
        if (v <= 0)
            argmax[plane + k] = STOPPED;
    }
}

// peak and argmax (N, O, height/2, width/2) of z (N, O, height, width), a block for each plane.
extern "C" __global__ void
find_peaks(const real* __restrict__ z, const real* __restrict__ gamma, real* __restrict__ peak,
           unsigned char* __restrict__ argmax, int channels, int height, int width)
{
    real sign = sign_of(gamma[blockIdx.x % channels]);
    int ph = height / 2, pw = width / 2;
    const real* plane = z + (long long)blockIdx.x * height * width;
    #pragma unroll 4
    for (int k = threadIdx.x; k < ph * pw; k += blockDim.x) {
        const real* corner = plane + k / pw * 2 * width + k % pw * 2;
        real best;
        int index;
        peak_of(corner[0], corner[1], corner[width], corner[width + 1], sign, best, index);
        peak[(long long)blockIdx.x * ph * pw + k] = best;
        argmax[(long long)blockIdx.x * ph * pw + k] = index;
    }
}
