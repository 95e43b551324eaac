// Twins: leaky_relu, sigmoid and tanh, forward and backward, of tinycnn.kernels.reference.
// One idea: a thread an element, neighbours side by side, so that a warp reads and writes whole lines of memory.

#define ELEMENT (blockIdx.x * (long long)blockDim.x + threadIdx.x)

extern "C" __global__ void leaky_relu_forward(const real* x, real slope, real* y, long long count)
{
    long long i = ELEMENT;
    if (i < count)
        y[i] = x[i] > 0 ? x[i] : x[i] * slope;
}

extern "C" __global__ void leaky_relu_backward(const real* dy, const real* y, real slope, real* dx, long long count)
{
    long long i = ELEMENT;
    if (i < count)
        dx[i] = y[i] > 0 ? dy[i] : dy[i] * slope;
}

// exp(−|x|) never overflows.
extern "C" __global__ void sigmoid_forward(const real* x, real* y, long long count)
{
    long long i = ELEMENT;
    if (i < count) {
        real e = exp(x[i] < 0 ? x[i] : -x[i]);
        y[i] = (x[i] < 0 ? e : (real)1) / (1 + e);
    }
}

extern "C" __global__ void sigmoid_backward(const real* dy, const real* y, real* dx, long long count)
{
    long long i = ELEMENT;
    if (i < count)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}

extern "C" __global__ void tanh_forward(const real* x, real* y, long long count)
{
    long long i = ELEMENT;
    if (i < count)
        y[i] = tanh(x[i]);
}

extern "C" __global__ void tanh_backward(const real* dy, const real* y, real* dx, long long count)
{
    long long i = ELEMENT;
    if (i < count)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}
