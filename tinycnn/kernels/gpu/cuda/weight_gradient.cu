// Twin: conv2d_backward_weight of tinycnn.kernels.reference, for stride 1 and few channels.
// One idea: a thread keeps FILTERS · KH · KW sums of one channel in registers while QUADS of pixels pass by. The blocks
// share out the tiles of all images; what each has summed is added up afterwards, always in the same order.
//
// Compiled for: KH, KW; FILTERS a thread; GROUPS of them × CHANNELS × SLICES threads a block, the slices sharing a
// tile's pixels; DOWN × ACROSS quads a tile; SOURCE, where dy is read.
#include "tile.cu"

#define QUAD 4
#define ROLES (GROUPS * CHANNELS)
#define THREADS ((ROLES * SLICES + WARP - 1) / WARP * WARP)
#define BLOCK_FILTERS (GROUPS * FILTERS)
#define COLUMNS (QUAD * ACROSS)
#define X_ROWS (DOWN + KH - 1)
#define X_COLUMNS ((COLUMNS + KW - 1 + QUAD - 1) / QUAD * QUAD)
// Neighbouring threads read neighbouring channels: an odd number of quads between them keeps them in different banks.
#define X_PLANE ((X_ROWS * X_COLUMNS / QUAD | 1) * QUAD)
#define DY_PLANE (DOWN * COLUMNS)
#define TILE_SIZE (BLOCK_FILTERS * DY_PLANE + CHANNELS * X_PLANE)
#define SUMS_SIZE (KH * KW * ROLES * SLICES)
#define MEMORY (TILE_SIZE > SUMS_SIZE ? TILE_SIZE : SUMS_SIZE)

extern "C" __global__ void __launch_bounds__(THREADS, 2)
weight_gradient(SOURCE dy, Plain x, real* parts, int images, int top, int left, int tiles_down, int tiles_across)
{
    __shared__ __align__(16) real memory[MEMORY];
    real* dy_tile = memory;
    real* x_tile = memory + BLOCK_FILTERS * DY_PLANE;
    int channel_blocks = (x.channels + CHANNELS - 1) / CHANNELS;
    int first_filter = blockIdx.y / channel_blocks * BLOCK_FILTERS;
    int first_channel = blockIdx.y % channel_blocks * CHANNELS;
    bool works = threadIdx.x < ROLES * SLICES;
    int channel = threadIdx.x % CHANNELS, group = threadIdx.x / CHANNELS % GROUPS, slice = threadIdx.x / ROLES;

    real sums[FILTERS][KH][KW] = {};
    int tiles = tiles_down * tiles_across;
    for (long long number = blockIdx.x; number < (long long)images * tiles; number += gridDim.x) {
        int image = number / tiles, tile = number % tiles;
        int i = tile / tiles_across * DOWN, j = tile % tiles_across * COLUMNS;
        __syncthreads();
        load_tile<BLOCK_FILTERS, DOWN, COLUMNS, DY_PLANE, THREADS / WARP>(dy, image, first_filter, i, j, dy_tile);
        load_tile<CHANNELS, X_ROWS, X_COLUMNS, X_PLANE, THREADS / WARP>(x, image, first_channel, i - top, j - left,
                                                                        x_tile);
        __syncthreads();
        for (int quad = slice; works && quad < DOWN * ACROSS; quad += SLICES) {
            int row = quad / ACROSS, column = quad % ACROSS * QUAD;
            real in[KH][QUAD + KW - 1];
            #pragma unroll
            for (int a = 0; a < KH; a++)
                #pragma unroll
                for (int b = 0; b < QUAD + KW - 1; b++)
                    in[a][b] = x_tile[channel * X_PLANE + (row + a) * X_COLUMNS + column + b];
            #pragma unroll
            for (int f = 0; f < FILTERS; f++)
                #pragma unroll
                for (int k = 0; k < QUAD; k++) {
                    real gradient = dy_tile[(group * FILTERS + f) * DY_PLANE + row * COLUMNS + column + k];
                    #pragma unroll
                    for (int a = 0; a < KH; a++)
                        #pragma unroll
                        for (int b = 0; b < KW; b++)
                            sums[f][a][b] += gradient * in[a][b + k];
                }
        }
    }

    // The slices' sums, one filter of each group at a time: parts (gridDim.x, O, C, KH, KW).
    real* part = parts + (long long)blockIdx.x * dy.channels * x.channels * KH * KW;
    #pragma unroll
    for (int f = 0; f < FILTERS; f++) {
        __syncthreads();
        #pragma unroll
        for (int tap = 0; tap < KH * KW; tap++)
            if (works)
                memory[tap * ROLES * SLICES + threadIdx.x] = sums[f][tap / KW][tap % KW];
        __syncthreads();
        for (int k = threadIdx.x; k < KH * KW * ROLES; k += THREADS) {
            int tap = k % (KH * KW), role = k / (KH * KW);
            int o = first_filter + role / CHANNELS * FILTERS + f, c = first_channel + role % CHANNELS;
            real sum = 0;
            for (int s = 0; s < SLICES; s++)
                sum += memory[tap * ROLES * SLICES + s * ROLES + role];
            if (o < dy.channels && c < x.channels)
                part[((long long)o * x.channels + c) * KH * KW + tap] = sum;
        }
    }
}
