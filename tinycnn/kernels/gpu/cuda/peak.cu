// Max pooling before batch norm.
#include "common.cu"

// The largest of a window's four numbers times sign, and which it is: the first of equals. A negative γ turns the order
// of z around, so that batch norm's largest is z's smallest; for γ = 0 all are equal.
__device__ __forceinline__ void peak_of(real a, real b, real c, real d, real sign, real& peak, int& index)
{
    peak = a;
    index = 0;
    if (sign * b > sign * peak) { peak = b; index = 1; }
    if (sign * c > sign * peak) { peak = c; index = 2; }
    if (sign * d > sign * peak) { peak = d; index = 3; }
}

__device__ __forceinline__ real sign_of(real x) { return x > 0 ? (real)1 : x < 0 ? (real)-1 : (real)0; }
