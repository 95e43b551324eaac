// The gradient of z (see `Unpooled` in tile.cu), stored, for convolutions that cannot compute it as they read.
#include "tile.cu"

// A warp for each row of dz (images, channels, height, width).
extern "C" __global__ void unpool(Unpooled source, real* dz, int rows)
{
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows)
        return;
    int plane = row / source.height;
    Unpooled::Row from = source.of_image(plane / source.channels)
                             .row(plane % source.channels, row % source.height);
    for (int j = threadIdx.x % WARP; j < source.width; j += WARP)
        dz[(long long)row * source.width + j] = from.at(j);
}
