// Twins: im2col and col2im of tinycnn.kernels.reference.
// One idea: a thread for each number written, which looks up (im2col) or sums (col2im) what belongs there: no two
// threads write to the same place.
#include "common.cu"

struct Geometry {
    int channels, height, width, kh, kw, oh, ow, stride_down, stride_across, top, left, dilation_down, dilation_across;
};

// columns (N, C·KH·KW, OH·OW)
extern "C" __global__ void im2col(const real* x, real* columns, Geometry g, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int ow = at % g.ow, oh = at / g.ow % g.oh, b = at / g.ow / g.oh % g.kw, a = at / g.ow / g.oh / g.kw % g.kh;
    unsigned plane = at / g.ow / g.oh / g.kw / g.kh;
    int i = oh * g.stride_down + a * g.dilation_down - g.top, j = ow * g.stride_across + b * g.dilation_across - g.left;
    bool inside = 0 <= i && i < g.height && 0 <= j && j < g.width;
    columns[at] = inside ? x[(plane * g.height + i) * g.width + j] : (real)0;
}

extern "C" __global__ void col2im(const real* columns, real* x, Geometry g, unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = at % g.width, i = at / g.width % g.height;
    unsigned plane = at / g.width / g.height;
    real sum = 0;
    for (int a = 0; a < g.kh; a++) {
        int down = i + g.top - a * g.dilation_down;
        if (down < 0 || down % g.stride_down || down / g.stride_down >= g.oh)
            continue;
        for (int b = 0; b < g.kw; b++) {
            int across = j + g.left - b * g.dilation_across;
            if (across >= 0 && across % g.stride_across == 0 && across / g.stride_across < g.ow)
                sum += columns[(((plane * g.kh + a) * g.kw + b) * g.oh + down / g.stride_down) * g.ow
                               + across / g.stride_across];
        }
    }
    x[at] = sum;
}
