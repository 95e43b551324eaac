// Twins: conv2d_forward and conv2d_backward_input of tinycnn.kernels.reference, for stride 1 and few channels.
// One idea: a thread keeps 4 × 2 pixels of FILTERS filters in registers, so that each number it loads from the shared
// tile serves many products. The gradient of the input is the same sum over dy, with the filters turned around (FLIP).
//
// Compiled for: KH, KW; FILTERS a thread, GROUPS of them a block; DOWN × ACROSS threads a group; STAGE channels at a
// time; SOURCE, what is read; TARGET, what becomes of the sums.
#include "tile.cu"

#define ROWS (4 * DOWN)
#define COLUMNS (2 * ACROSS)
#define TILE_ROWS (ROWS + KH - 1)
#define TILE_COLUMNS ((COLUMNS + KW) / 2 * 2)
#define PLACES (DOWN * ACROSS)
#define THREADS ((GROUPS * PLACES + WARP - 1) / WARP * WARP)
#define BLOCK_FILTERS (GROUPS * FILTERS)
#define TILE_SIZE (STAGE * TILE_ROWS * TILE_COLUMNS)
#define SUMS_SIZE (2 * BLOCK_FILTERS * PLACES)
#define MEMORY (TILE_SIZE > SUMS_SIZE * TARGET::NEEDS_MEMORY ? TILE_SIZE : SUMS_SIZE)

// A thread's share: pixels (i … i+3, j, j+1) of filters o … o+FILTERS−1 of an image. The last warp may have threads too
// many: they do what the last one does, but must not write.
struct Share {
    int image, group, place, o, i, j;
    bool writes;
};

// y = sums + bias: (N, O, height, width).
struct Stored {
    static const int NEEDS_MEMORY = 0;
    const real* bias;
    real* y;
    int filters, height, width;

    __device__ void take(real sums[FILTERS][4][2], const Share& at, real*) const
    {
        real* here = y + (long long)at.image * filters * height * width;
        #pragma unroll
        for (int f = 0; f < FILTERS; f++) {
            int o = at.o + f, corner = (o * height + at.i) * width + at.j;
            if (o >= filters || !at.writes)
                break;
            real offset = bias ? bias[o] : (real)0;
            #pragma unroll
            for (int k = 0; k < 8; k++)
                if (at.i + k / 2 < height && at.j + k % 2 < width)
                    here[corner + k / 2 * width + k % 2] = sums[f][k / 2][k % 2] + offset;
        }
    }
};

#ifdef BLOCK
#include "epilogue.cu"
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 2)
correlate(SOURCE source, const real* weight, TARGET target, int top, int left, int tiles_down, int tiles_across)
{
    __shared__ __align__(16) real memory[MEMORY];
    __shared__ __align__(16) real filters[STAGE][KH][KW][BLOCK_FILTERS];
    real (*tile)[TILE_ROWS][TILE_COLUMNS] = (real (*)[TILE_ROWS][TILE_COLUMNS])memory;

    int tiles = tiles_down * tiles_across, number = blockIdx.x % tiles;
    int thread = min((int)threadIdx.x, GROUPS * PLACES - 1);
    int row = thread % PLACES / ACROSS * 4, column = thread % PLACES % ACROSS * 2;
    int first_row = number / tiles_across * ROWS, first_column = number % tiles_across * COLUMNS;
    int first_filter = blockIdx.y * BLOCK_FILTERS;
    int group = thread / PLACES, image = blockIdx.x / tiles;
    Share share = {image, group, thread % PLACES, first_filter + group * FILTERS, first_row + row,
                   first_column + column, threadIdx.x < GROUPS * PLACES};

    real sums[FILTERS][4][2] = {};
    for (int c = 0; c < source.channels; c += STAGE) {
        __syncthreads();
        load_tile<STAGE, TILE_ROWS, TILE_COLUMNS, TILE_ROWS * TILE_COLUMNS, THREADS / WARP>(
            source, image, c, first_row - top, first_column - left, memory);
        #pragma unroll 4
        for (int k = threadIdx.x; k < STAGE * KH * KW * BLOCK_FILTERS; k += THREADS) {
            int o = first_filter + k % BLOCK_FILTERS, tap = k / BLOCK_FILTERS % (KH * KW);
            int channel = c + k / (BLOCK_FILTERS * KH * KW);
            int at = FLIP ? (channel * target.filters + o) * (KH * KW) + KH * KW - 1 - tap
                          : (o * source.channels + channel) * (KH * KW) + tap;
            (&filters[0][0][0][0])[k] = o < target.filters && channel < source.channels ? weight[at] : (real)0;
        }
        __syncthreads();
        for (int k = 0; k < STAGE; k++) {
            real in[3 + KH][1 + KW];
            #pragma unroll
            for (int r = 0; r < 3 + KH; r++)
                #pragma unroll
                for (int s = 0; s < 1 + KW; s++)
                    in[r][s] = tile[k][row + r][column + s];
            #pragma unroll
            for (int a = 0; a < KH; a++)
                #pragma unroll
                for (int b = 0; b < KW; b++)
                    #pragma unroll
                    for (int f = 0; f < FILTERS; f++) {
                        real w = filters[k][a][b][group * FILTERS + f];
                        #pragma unroll
                        for (int r = 0; r < 4; r++)
                            #pragma unroll
                            for (int s = 0; s < 2; s++)
                                sums[f][r][s] += w * in[r + a][s + b];
                    }
        }
    }
    target.take(sums, share, memory);
}
