// Twins: softmax_forward, softmax_backward, log_softmax_forward, cross_entropy_forward, cross_entropy_backward of
// tinycnn.kernels.reference.
// One idea: a warp for each row, whose lanes exchange their maxima and sums without shared memory.
#include "common.cu"

#define ROW (blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP)
#define LANE (threadIdx.x % WARP)

__device__ __forceinline__ real row_max(const real* row, int classes)
{
    real best = row[0];
    for (int k = LANE; k < classes; k += WARP)
        best = row[k] > best ? row[k] : best;  // a NaN that is passed over here makes the sum NaN
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        real other = __shfl_xor_sync(ALL_LANES, best, distance);
        best = other > best ? other : best;
    }
    return best;
}

__device__ __forceinline__ real row_sum_of_exponentials(const real* row, int classes, real largest)
{
    real sum = 0;
    for (int k = LANE; k < classes; k += WARP)
        sum += exp(row[k] - largest);
    return warp_sum(sum);
}

// y is never below `least`.
extern "C" __global__ void softmax_forward(const real* x, real least, real* y, int rows, int classes)
{
    if (ROW >= rows)
        return;
    const real* row = x + (long long)ROW * classes;
    real largest = row_max(row, classes), sum = row_sum_of_exponentials(row, classes, largest);
    for (int k = LANE; k < classes; k += WARP) {
        real p = exp(row[k] - largest) / sum;
        y[(long long)ROW * classes + k] = p < least ? least : p;
    }
}

extern "C" __global__ void softmax_backward(const real* dy, const real* y, real* dx, int rows, int classes)
{
    if (ROW >= rows)
        return;
    long long start = (long long)ROW * classes;
    real sum = 0;
    for (int k = LANE; k < classes; k += WARP)
        sum += dy[start + k] * y[start + k];
    sum = warp_sum(sum);
    for (int k = LANE; k < classes; k += WARP)
        dx[start + k] = y[start + k] * (dy[start + k] - sum);
}

extern "C" __global__ void log_softmax_forward(const real* x, real* y, int rows, int classes)
{
    if (ROW >= rows)
        return;
    const real* row = x + (long long)ROW * classes;
    real largest = row_max(row, classes), sum = log(row_sum_of_exponentials(row, classes, largest));
    for (int k = LANE; k < classes; k += WARP)
        y[(long long)ROW * classes + k] = row[k] - largest - sum;
}

// Σ w[t] over all rows; each row weighs 1 without class_weights.
__device__ __forceinline__ double total_weight(const long long* t, const real* class_weights, int rows)
{
    double total = 0;
    for (int n = threadIdx.x; n < rows; n += blockDim.x)
        total += class_weights ? class_weights[t[n]] : (real)1;
    return block_sum(total);
}

// One block: loss = −Σ w[t] · log_p[n, t] / Σ w[t].
extern "C" __global__ void cross_entropy_forward(const real* log_p, const long long* t, const real* class_weights,
                                                 real* loss, int rows, int classes)
{
    double sum = 0;
    for (int n = threadIdx.x; n < rows; n += blockDim.x)
        sum += (double)(class_weights ? class_weights[t[n]] : (real)1) * log_p[(long long)n * classes + t[n]];
    sum = block_sum(sum);
    double total = total_weight(t, class_weights, rows);
    if (threadIdx.x == 0)
        *loss = -sum / total;
}

// dlogits = (p − onehot(t)) · w[t] / Σ w[t]; each block adds up Σ w[t] for itself.
extern "C" __global__ void cross_entropy_backward(const real* p, const long long* t, const real* class_weights,
                                                  real* dlogits, int rows, int classes)
{
    double total = total_weight(t, class_weights, rows);
    if (ROW >= rows)
        return;
    long long label = t[ROW];
    real share = (class_weights ? class_weights[label] : (real)1) / total;
    for (int k = LANE; k < classes; k += WARP)
        dlogits[(long long)ROW * classes + k] = (p[(long long)ROW * classes + k] - (k == label ? 1 : 0)) * share;
}
