// Twins: sgdm_update and adam_update of tinycnn.kernels.reference, for many parameters in one launch.
// One idea: a table of all parameters, passed with the launch itself; blockIdx.y is a parameter, the blocks in x share
// its elements. Learning rates and Adam's step are read from the device's memory, where a recorded step finds new ones.
#include "common.cu"

struct Table {
    real *weight[MOST], *first[MOST], *second[MOST];  // second is Adam's alone
    const real* gradient[MOST];
    long long size[MOST];
    real weight_decay[MOST];
};

#define FOR_EACH_ELEMENT(i, size) \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < size; \
         i += gridDim.x * (long long)blockDim.x)

// v ← γ·v − α·(∇E + λ·θ),  θ ← θ + v
extern "C" __global__ void sgdm(Table table, const real* lr, real momentum)
{
    int p = blockIdx.y;
    real *weight = table.weight[p], *velocity = table.first[p];
    const real* gradient = table.gradient[p];
    real rate = lr[p], decay = table.weight_decay[p];
    FOR_EACH_ELEMENT(i, table.size[p]) {
        real step = velocity[i] * momentum - rate * (gradient[i] + decay * weight[i]);
        velocity[i] = step;
        weight[i] += step;
    }
}

// m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − α · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε), where g = ∇E + λ·θ
extern "C" __global__ void adam(Table table, const real* lr, double beta1, double beta2, real eps,
                                const long long* step)
{
    int p = blockIdx.y;
    real *weight = table.weight[p], *mean = table.first[p], *square = table.second[p];
    const real* gradient = table.gradient[p];
    real rate = lr[p], decay = table.weight_decay[p], rest1 = 1 - beta1, rest2 = 1 - beta2;
    real bias1 = 1 - pow(beta1, (double)*step), bias2 = 1 - pow(beta2, (double)*step);
    FOR_EACH_ELEMENT(i, table.size[p]) {
        real g = gradient[i] + decay * weight[i];
        real m = (real)beta1 * mean[i] + rest1 * g, v = (real)beta2 * square[i] + rest2 * g * g;
        mean[i] = m;
        square[i] = v;
        weight[i] -= rate * (m / bias1) / (sqrt(v / bias2) + eps);
    }
}
