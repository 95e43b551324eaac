// Twin: conv2d_forward of tinycnn.kernels.reference.naive.
// One idea: one thread, one output. It finds out which output is its own and sums that one's window; nobody shares.
// What limits it: each product loads two numbers from memory or cache. Neighbouring threads read neighbouring pixels, so
// a warp's loads are whole lines, but each pixel is fetched again by every window and filter that sees it: shared memory
// and a tile of sums in registers (correlate.cu) are for that.

struct Geometry {
    int channels, height, width, filters, kh, kw, oh, ow, stride_down, stride_across, top, left, dilation_down,
        dilation_across, groups;
};

extern "C" __global__ void conv2d_forward(const real* x, const real* weight, const real* bias, real* y, Geometry g,
                                          unsigned count)
{
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int j = at % g.ow, i = at / g.ow % g.oh, o = at / g.ow / g.oh % g.filters;
    unsigned n = at / g.ow / g.oh / g.filters;
    int channels = g.channels / g.groups, first = o / (g.filters / g.groups) * channels;
    real sum = bias ? bias[o] : (real)0;
    for (int c = 0; c < channels; c++)
        for (int a = 0; a < g.kh; a++)
            for (int b = 0; b < g.kw; b++) {
                int row = i * g.stride_down + a * g.dilation_down - g.top;
                int column = j * g.stride_across + b * g.dilation_across - g.left;
                if (0 <= row && row < g.height && 0 <= column && column < g.width)
                    sum += weight[((o * channels + c) * g.kh + a) * g.kw + b]
                           * x[((n * g.channels + first + c) * g.height + row) * g.width + column];
            }
    y[at] = sum;
}
