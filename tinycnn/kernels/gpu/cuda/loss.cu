// Twins: softmax_forward, softmax_backward, log_softmax_forward, cross_entropy_forward, cross_entropy_backward,
// squared_error_forward, squared_error_backward of tinycnn.kernels.reference.
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

// One block: loss = −Σ_n Σ_k q[n, k] · log_p[n, k] / Σ w[t], where q is (1 − smoothing) · w[t] in the label's class and
// smoothing / classes · w[k] is added to all.
extern "C" __global__ void cross_entropy_forward(const real* log_p, const long long* t, const real* class_weights,
                                                 real smoothing, real* loss, int rows, int classes)
{
    double sum = 0, spread = 0;
    for (int n = threadIdx.x; n < rows; n += blockDim.x) {
        const real* row = log_p + (long long)n * classes;
        sum += (double)(class_weights ? class_weights[t[n]] : (real)1) * row[t[n]];
        for (int k = 0; smoothing > 0 && k < classes; k++)
            spread += (double)(class_weights ? class_weights[k] : (real)1) * row[k];
    }
    sum = block_sum((1 - (double)smoothing) * sum + (double)smoothing / classes * spread);
    double total = total_weight(t, class_weights, rows);
    if (threadIdx.x == 0)
        *loss = -sum / total;
}

// dlogits = ((1 − smoothing) · (p − onehot(t)) · w[t] + smoothing / classes · (p · Σ_k w[k] − w)) / Σ w[t]; each block
// adds up Σ w[t] for itself.
extern "C" __global__ void cross_entropy_backward(const real* p, const long long* t, const real* class_weights,
                                                  real smoothing, real* dlogits, int rows, int classes)
{
    double total = total_weight(t, class_weights, rows);
    if (ROW >= rows)
        return;
    long long label = t[ROW], start = (long long)ROW * classes;
    real share = (1 - smoothing) * (class_weights ? class_weights[label] : (real)1) / total;
    real spread = smoothing / classes / total, all = classes;
    if (smoothing > 0 && class_weights) {
        all = 0;
        for (int k = LANE; k < classes; k += WARP)
            all += class_weights[k];
        all = warp_sum(all);
    }
    for (int k = LANE; k < classes; k += WARP) {
        real dlogit = (p[start + k] - (k == label ? 1 : 0)) * share;
        if (smoothing > 0)
            dlogit += (p[start + k] * all - (class_weights ? class_weights[k] : (real)1)) * spread;
        dlogits[start + k] = dlogit;
    }
}

// parts[block] = Σ (y − t)² over the block's elements.
extern "C" __global__ void squared_error_parts(const real* y, const real* t, double* parts, long long count)
{
    double sum = 0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count;
         i += gridDim.x * (long long)blockDim.x) {
        double error = y[i] - t[i];
        sum += error * error;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

// One block: loss = Σ parts / count.
extern "C" __global__ void squared_error_mean(const double* parts, real* loss, int number, long long count)
{
    double sum = 0;
    for (int p = threadIdx.x; p < number; p += blockDim.x)
        sum += parts[p];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        *loss = sum / count;
}

extern "C" __global__ void squared_error_backward(const real* y, const real* t, real* dy, long long count)
{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < count)
        dy[i] = (y[i] - t[i]) * (real)(2.0 / count);
}
