// What a block (convolution, batch norm, ReLU, 2 × 2 max pooling) makes of the convolution's sums while they are still
// in registers: in training all that needs a look at z, in evaluation the pooled result alone.
#include "peak.cu"

// z (N, O, height, width) with, for each window, the z that will be the maximum after batch norm and its number, and
// each thread block's count, mean and Σ (z − mean)² of each filter: moments (3, O, blocks).
struct Measured {
    static const int NEEDS_MEMORY = 1;
    const real *bias, *gamma;
    real *z, *peak;
    unsigned char* argmax;
    double* moments;
    int filters, height, width;

    __device__ void take(real sums[FILTERS][4][2], const Share& at, real* memory) const
    {
        __shared__ real centre[BLOCK_FILTERS];
        #pragma unroll
        for (int f = 0; f < FILTERS; f++) {
            real offset = bias && at.o + f < filters ? bias[at.o + f] : (real)0;
            #pragma unroll
            for (int k = 0; k < 8; k++)
                sums[f][k / 2][k % 2] += offset;
        }
        __syncthreads();  // memory is free, and nobody reads an old centre
        if (at.place == 0 && at.writes)
            for (int f = 0; f < FILTERS; f++)
                centre[at.group * FILTERS + f] = sums[f][0][0];
        __syncthreads();
        #pragma unroll
        for (int f = 0; f < FILTERS; f++)
            if (at.writes) {
                real first = 0, second = 0, around = centre[at.group * FILTERS + f];
                #pragma unroll
                for (int k = 0; k < 8; k++)
                    if (at.i + k / 2 < height && at.j + k % 2 < width) {
                        real deviation = sums[f][k / 2][k % 2] - around;
                        first += deviation;
                        second += deviation * deviation;
                    }
                memory[((at.group * FILTERS + f) * 2 + 0) * PLACES + at.place] = first;
                memory[((at.group * FILTERS + f) * 2 + 1) * PLACES + at.place] = second;
                if (at.o + f < filters)
                    store(sums[f], at, f);
            }
        __syncthreads();
        summarize(at, centre, memory);
    }

    // Of filter o = at.o + f: z where it exists, and the peaks of the share's two windows.
    __device__ __forceinline__ void store(const real sums[4][2], const Share& at, int f) const
    {
        int ph = height / 2, pw = width / 2, o = at.o + f;
        long long first = (long long)at.image * filters;
        real *z_here = z + first * height * width, *peak_here = peak + first * ph * pw;
        unsigned char* argmax_here = argmax + first * ph * pw;
        int corner = (o * height + at.i) * width + at.j, window = (o * ph + at.i / 2) * pw + at.j / 2;
        #pragma unroll
        for (int k = 0; k < 8; k++)
            if (at.i + k / 2 < height && at.j + k % 2 < width)
                z_here[corner + k / 2 * width + k % 2] = sums[k / 2][k % 2];
        real sign = sign_of(gamma[o]);
        #pragma unroll
        for (int r = 0; r < 2; r++)
            if (at.i / 2 + r < ph && at.j / 2 < pw) {
                real best;
                int index;
                peak_of(sums[2 * r][0], sums[2 * r][1], sums[2 * r + 1][0], sums[2 * r + 1][1], sign, best, index);
                peak_here[window + r * pw] = best;
                argmax_here[window + r * pw] = index;
            }
    }

    // A warp for each filter adds up what all threads found.
    __device__ void summarize(const Share& at, const real* centre, const real* memory) const
    {
        int lane = threadIdx.x % WARP, row = at.i - at.place / ACROSS * 4, column = at.j - at.place % ACROSS * 2;
        double count = (double)min(ROWS, height - row) * min(COLUMNS, width - column);
        for (int f = threadIdx.x / WARP; f < BLOCK_FILTERS; f += THREADS / WARP) {
            double first = 0, second = 0;
            for (int k = lane; k < PLACES; k += WARP) {
                first += memory[(2 * f + 0) * PLACES + k];
                second += memory[(2 * f + 1) * PLACES + k];
            }
            first = warp_sum(first);
            second = warp_sum(second);
            int o = blockIdx.y * BLOCK_FILTERS + f;
            if (lane == 0 && o < filters) {
                double squares = second - first * first / count;
                moments[((long long)0 * filters + o) * gridDim.x + blockIdx.x] = count;
                moments[((long long)1 * filters + o) * gridDim.x + blockIdx.x] = centre[f] + first / count;
                moments[((long long)2 * filters + o) * gridDim.x + blockIdx.x] = squares < 0 ? 0 : squares;
            }
        }
    }
};

// y (N, O, height/2, width/2) with given statistics. z is never stored.
struct Pooled {
    static const int NEEDS_MEMORY = 0;
    const real *bias, *gamma, *beta, *mean, *variance;
    real* y;
    real eps;
    int filters, height, width;

    __device__ void take(real sums[FILTERS][4][2], const Share& at, real*) const
    {
        int ph = height / 2, pw = width / 2;
        #pragma unroll
        for (int f = 0; f < FILTERS; f++) {
            int o = at.o + f;
            if (o >= filters || !at.writes)
                break;
            real scale = gamma[o] / sqrt(variance[o] + eps);
            real shift = ((bias ? bias[o] : (real)0) - mean[o]) * scale + beta[o];
            real* plane = y + ((long long)at.image * filters + o) * ph * pw;
            #pragma unroll
            for (int r = 0; r < 4; r += 2)
                if ((at.i + r) / 2 < ph && at.j / 2 < pw) {
                    real best;
                    int index;
                    peak_of(sums[f][r][0], sums[f][r][1], sums[f][r + 1][0], sums[f][r + 1][1], sign_of(scale), best,
                            index);
                    real v = best * scale + shift;
                    plane[(at.i + r) / 2 * pw + at.j / 2] = v <= 0 ? (real)0 : v;
                }
        }
    }
};
