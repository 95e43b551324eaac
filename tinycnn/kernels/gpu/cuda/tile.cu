// Where a convolution's numbers come from: rows of planes, with zeros around, copied into shared memory. What lies
// outside is read at the nearest place inside and then thrown away: without branches, many loads can be under way.
#include "common.cu"

__device__ __forceinline__ int clamp(int value, int count) { return max(0, min(value, count - 1)); }

// x (N, channels, height, width) itself.
struct Plain {
    const real* x;
    int channels, height, width;

    struct Row {
        const real* x;
        int start, width;
        bool exists;

        __device__ __forceinline__ real at(int j) const
        {
            real value = x[start + clamp(j, width)];
            return exists && 0 <= j && j < width ? value : (real)0;
        }
    };

    __device__ __forceinline__ Plain of_image(int image) const
    {
        return {x + (long long)image * channels * height * width, channels, height, width};
    }

    __device__ __forceinline__ Row row(int channel, int i) const
    {
        return {x, (clamp(channel, channels) * height + clamp(i, height)) * width, width,
                0 <= i && i < height && channel < channels};
    }
};

// The gradient of z, that came through 2 × 2 max pooling, ReLU and batch norm, computed as it is read and never stored:
// slope·(z − mean) + offset everywhere, plus scale·dy at each window's maximum unless the ReLU STOPPED it.
struct Unpooled {
    const real *z, *dy;
    const unsigned char* argmax;
    const Factors* factors;
    int channels, height, width;

    struct Row {
        const real *z, *dy;
        const unsigned char* argmax;
        Factors of;
        int start, window_start, width, first;  // pixel of a window in this row: 0 above, 2 below, NO_PIXEL if the row is in none
        bool exists;

        __device__ __forceinline__ real at(int j) const
        {
            int inside = clamp(j, width), window = clamp(j >> 1, width / 2);
            real value = z[start + inside], gradient = dy[window_start + window];
            bool is_peak = argmax[window_start + window] == first + (j & 1) && j >> 1 == window;
            value = of.slope * (value - of.mean) + of.offset + (is_peak ? of.scale * gradient : (real)0);
            return exists && j == inside ? value : (real)0;
        }
    };

    __device__ __forceinline__ Unpooled of_image(int image) const
    {
        long long first = (long long)image * channels, windows = first * (height / 2) * (width / 2);
        return {z + first * height * width, dy + windows, argmax + windows, factors, channels, height, width};
    }

    __device__ __forceinline__ Row row(int channel, int i) const
    {
        int c = clamp(channel, channels), window = clamp(i >> 1, height / 2);
        return {z, dy, argmax, factors[c], (c * height + clamp(i, height)) * width,
                (c * (height / 2) + window) * (width / 2), width, i >> 1 == window ? (i & 1) * 2 : NO_PIXEL,
                0 <= i && i < height && channel < channels};
    }
};

// Copy Rows rows of Columns pixels of each of Channels planes, from (channel, i, j) on, to tile: a warp a row, and BATCH
// rows at a time.
template <int Channels, int Rows, int Columns, int Plane, int Warps, class Source>
__device__ __forceinline__ void load_tile(const Source& source, int image, int channel, int i, int j, real* tile)
{
    const int BATCH = 4, EACH = (Columns + WARP - 1) / WARP;
    const Source here = source.of_image(image);
    int lane = threadIdx.x % WARP;
    for (int start = threadIdx.x / WARP; start < Channels * Rows; start += BATCH * Warps) {
        real values[BATCH][EACH];
        #pragma unroll
        for (int b = 0; b < BATCH; b++) {
            int k = min(start + b * Warps, Channels * Rows - 1);
            typename Source::Row row = here.row(channel + k / Rows, i + k % Rows);
            #pragma unroll
            for (int e = 0; e < EACH; e++)
                values[b][e] = row.at(j + lane + e * WARP);
        }
        #pragma unroll
        for (int b = 0; b < BATCH; b++) {
            int k = start + b * Warps;
            #pragma unroll
            for (int e = 0; e < EACH; e++)
                if (k < Channels * Rows && lane + e * WARP < Columns)
                    tile[k / Rows * Plane + k % Rows * Columns + lane + e * WARP] = values[b][e];
        }
    }
}
