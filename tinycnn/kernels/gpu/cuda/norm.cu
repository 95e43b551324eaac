// Twins: batch_norm_statistics, batch_norm_forward, batch_norm_backward, conv2d_backward_bias of
// tinycnn.kernels.reference.
// One idea: sums over a channel in two stages without atomics: each block adds up some images' planes of one channel,
// then one block for each channel joins what these found, in float64 and always in the same order.
#include "common.cu"

// moments (3, C, gridDim.y): count, mean and Σ (x − mean)² of the images blockIdx.y, blockIdx.y + gridDim.y, … of
// channel blockIdx.x, in one pass around a number that is one of them.
extern "C" __global__ void
channel_moments(const real* __restrict__ x, double* __restrict__ moments, int images, int channels, int size)
{
    int c = blockIdx.x, part = blockIdx.y;
    real centre = x[((long long)part * channels + c) * size];
    double first = 0, second = 0, count = 0;
    for (int n = part; n < images; n += gridDim.y) {
        const real* plane = x + ((long long)n * channels + c) * size;
        real a = 0, b = 0;
        #pragma unroll 4
        for (int k = threadIdx.x; k < size; k += blockDim.x) {
            real deviation = plane[k] - centre;
            a += deviation;
            b += deviation * deviation;
        }
        first += a;
        second += b;
        count += size;
    }
    first = block_sum(first);
    second = block_sum(second);
    if (threadIdx.x == 0) {
        long long at = (long long)c * gridDim.y + part, step = (long long)channels * gridDim.y;
        double squares = second - first * first / count;
        moments[at] = count;
        moments[at + step] = centre + first / count;
        moments[at + 2 * step] = squares < 0 ? 0 : squares;
    }
}

// mean and variance of channel blockIdx.x from the moments (3, C, parts) of its parts.
extern "C" __global__ void
join_moments(const double* __restrict__ moments, real* __restrict__ mean, real* __restrict__ variance, int parts)
{
    long long step = (long long)gridDim.x * parts;
    const double* counts = moments + (long long)blockIdx.x * parts;
    double total = 0, weighted = 0, squares = 0;
    #pragma unroll 4
    for (int k = threadIdx.x; k < parts; k += blockDim.x) {
        total += counts[k];
        weighted += counts[k] * counts[step + k];
    }
    total = block_sum(total);
    double common = block_sum(weighted) / total;
    #pragma unroll 4
    for (int k = threadIdx.x; k < parts; k += blockDim.x) {
        double distance = counts[step + k] - common;
        squares += counts[2 * step + k] + counts[k] * distance * distance;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = common;
        variance[blockIdx.x] = squares / total;
    }
}

// The running statistics move towards a batch's, in place: a thread for each channel.
extern "C" __global__ void
track(real* running_mean, real* running_var, const real* mean, const real* variance, real momentum, real unbiased,
      int channels)
{
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels)
        return;
    running_mean[c] += momentum * (mean[c] - running_mean[c]);
    running_var[c] += momentum * (variance[c] * unbiased - running_var[c]);
}

// y = γ · (x − μ) / √(σ² + ε) + β, a block for each plane.
extern "C" __global__ void
normalize(const real* __restrict__ x, const real* __restrict__ mean, const real* __restrict__ variance,
          const real* __restrict__ weight, const real* __restrict__ bias, real eps, real* __restrict__ y,
          int channels, int size)
{
    int c = blockIdx.x % channels;
    real centre = mean[c], scale = weight[c] / sqrt(variance[c] + eps), offset = bias[c];
    long long plane = (long long)blockIdx.x * size;
    #pragma unroll 4
    for (int k = threadIdx.x; k < size; k += blockDim.x)
        y[plane + k] = (x[plane + k] - centre) * scale + offset;
}

// sums (2, C, gridDim.y): Σ dy and Σ dy·(x − μ) over some images of channel blockIdx.x. With an argmax, dy is that of
// pooled pixels, x is z at the maxima, and STOPPED marks the maxima that the ReLU stopped. Without x there is Σ dy alone.
extern "C" __global__ void
gradient_sums(const real* __restrict__ dy, const real* __restrict__ x, const unsigned char* __restrict__ argmax,
              const real* __restrict__ mean, double* __restrict__ sums, int images, int channels, int size)
{
    int c = blockIdx.x, part = blockIdx.y;
    real centre = x ? mean[c] : (real)0;
    double first = 0, second = 0;
    for (int n = part; n < images; n += gridDim.y) {
        long long plane = ((long long)n * channels + c) * size;
        real a = 0, b = 0;
        #pragma unroll 4
        for (int k = threadIdx.x; k < size; k += blockDim.x) {
            real gradient = argmax && argmax[plane + k] == STOPPED ? (real)0 : dy[plane + k];
            a += gradient;
            if (x)
                b += gradient * (x[plane + k] - centre);
        }
        first += a;
        second += b;
    }
    first = block_sum(first);
    second = block_sum(second);
    if (threadIdx.x == 0) {
        sums[(long long)c * gridDim.y + part] = first;
        sums[((long long)channels + c) * gridDim.y + part] = second;
    }
}

// dβ = Σ dy and, with factors, dγ = Σ dy·x̂ of channel blockIdx.x and what makes dx of them (see `Factors`): dx is
// scale·(dy − mean(dy) − x̂ · mean(dy·x̂)), or, for given statistics (count 0), scale·dy.
extern "C" __global__ void
join_gradients(const double* __restrict__ sums, const real* __restrict__ mean, const real* __restrict__ variance,
               const real* __restrict__ weight, real eps, double count, real* __restrict__ dweight,
               real* __restrict__ dbias, Factors* __restrict__ factors, int parts)
{
    int c = blockIdx.x;
    double first = 0, second = 0;
    #pragma unroll 4
    for (int k = threadIdx.x; k < parts; k += blockDim.x) {
        first += sums[(long long)c * parts + k];
        second += sums[((long long)gridDim.x + c) * parts + k];
    }
    first = block_sum(first);
    second = block_sum(second);
    if (threadIdx.x > 0)
        return;
    dbias[c] = first;
    if (!factors)
        return;
    double inverse_std = 1 / sqrt((double)variance[c] + (double)eps), scale = weight[c] * inverse_std;
    dweight[c] = second * inverse_std;
    double slope = count > 0 ? -scale * inverse_std * inverse_std * second / count : 0.0;
    double offset = count > 0 ? -scale * first / count : 0.0;
    factors[c] = {mean[c], (real)scale, (real)slope, (real)offset};
}

// dx = scale·dy + slope·(x − mean) + offset, a block for each plane.
extern "C" __global__ void
input_gradient(const real* __restrict__ dy, const real* __restrict__ x, const Factors* __restrict__ factors,
               real* __restrict__ dx, int channels, int size)
{
    Factors of = factors[blockIdx.x % channels];
    long long plane = (long long)blockIdx.x * size;
    #pragma unroll 4
    for (int k = threadIdx.x; k < size; k += blockDim.x)
        dx[plane + k] = of.scale * dy[plane + k] + (of.slope * (x[plane + k] - of.mean) + of.offset);
}
