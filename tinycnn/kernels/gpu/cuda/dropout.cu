// Twin: dropout_forward of tinycnn.kernels.reference, with another stream of random numbers.
// One idea: a counter-based generator. Philox4x32-10 turns (element, seed) into random bits without any state, so each
// thread draws its own and the mask does not depend on how threads are scheduled. The seed is read from the device's
// memory, where a recorded step finds a new one each time.
//
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
#include "common.cu"

__device__ __forceinline__ uint4 philox(uint4 counter, unsigned key0, unsigned key1)
{
    #pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
        unsigned high1 = __umulhi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
        counter = {high1 ^ counter.y ^ key0, low1, high0 ^ counter.w ^ key1, low0};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

// y = x · mask, where mask is 0 if the element's 32 random bits are below `threshold` and `scale` otherwise.
extern "C" __global__ void dropout_forward(const real* x, const unsigned long long* seed, real* y, real* mask,
                                           unsigned threshold, real scale, long long count)
{
    long long group = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (4 * group >= count)
        return;
    uint4 counter = {(unsigned)group, (unsigned)(group >> 32), 0, 0};
    uint4 bits = philox(counter, (unsigned)*seed, (unsigned)(*seed >> 32));
    unsigned each[4] = {bits.x, bits.y, bits.z, bits.w};
    #pragma unroll
    for (int k = 0; k < 4; k++)
        if (4 * group + k < count) {
            real factor = each[k] < threshold ? (real)0 : scale;
            mask[4 * group + k] = factor;
            y[4 * group + k] = x[4 * group + k] * factor;
        }
}
