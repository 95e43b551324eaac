// Enough of CUDA to run its kernels as C++: blocks one after the other, each thread of a block a fiber of its own that
// runs until it meets a barrier or a shuffle. Shared memory is static, since only one block is alive, and filled with NaN
// before each.
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static __attribute__((section("shared_memory")))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
static dim3 gridDim, blockDim, blockIdx, threadIdx;

struct __attribute__((aligned(16))) float4 { float x, y, z, w; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
using std::exp; using std::log; using std::pow; using std::sqrt; using std::fma; using std::tanh;
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline float __int_as_float(int bits) { float value; memcpy(&value, &bits, 4); return value; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }

enum State { READY, AT_SHUFFLE, AT_BARRIER, DONE };
struct Fiber { ucontext_t start; jmp_buf here; bool started; State state; dim3 index; uint64_t offered; };

static const int MOST_THREADS = 1024, STACK = 1 << 16, WARP_SIZE = 32;
static Fiber fibers[MOST_THREADS];
static Fiber* current;
static jmp_buf scheduler;
static void (*body)(void*);
static void* call;

static void pause_fiber(State state)
{
    current->state = state;
    if (!_setjmp(current->here))
        _longjmp(scheduler, 1);
}

static void live()
{
    for (;;) {
        body(call);
        pause_fiber(DONE);
    }
}

static void resume(Fiber& fiber)
{
    current = &fiber;
    threadIdx = fiber.index;
    if (_setjmp(scheduler))
        return;
    if (fiber.started)
        _longjmp(fiber.here, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = new char[STACK];
    fiber.start.uc_stack.ss_size = STACK;
    makecontext(&fiber.start, live, 0);
    setcontext(&fiber.start);
}

inline void __syncthreads() { pause_fiber(AT_BARRIER); }
inline void __syncwarp(unsigned = ~0u) { pause_fiber(AT_SHUFFLE); }

template <class T> T exchange(T value, int lane)
{
    Fiber* me = current;
    memcpy(&me->offered, &value, sizeof value);
    pause_fiber(AT_SHUFFLE);
    memcpy(&value, &(me - (me - fibers) % WARP_SIZE + lane)->offered, sizeof value);
    pause_fiber(AT_SHUFFLE);  // all have read before anyone offers again
    return value;
}

inline int lane_of() { return (current - fibers) % WARP_SIZE; }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) { return exchange(value, lane_of() ^ mask); }
template <class T> T __shfl_sync(unsigned, T value, int lane) { return exchange(value, lane); }

// Run the ready fibers first … last − 1 to their next stop; all must stop alike. Backwards if asked: a kernel that
// lacks a barrier then shows it, by another result.
static bool advance(int first, int last, bool backwards, State& stop)
{
    for (int k = first; k < last; k++)
        resume(fibers[backwards ? last - 1 - (k - first) : k]);
    stop = fibers[first].state;
    for (int k = first; k < last; k++)
        if (fibers[k].state != stop)
            return false;
    return true;
}

extern "C" __attribute__((weak, visibility("hidden"))) char __start_shared_memory[], __stop_shared_memory[];

static const char* run_block(int threads, bool backwards)
{
    if (__start_shared_memory)
        memset(__start_shared_memory, 0xFF, __stop_shared_memory - __start_shared_memory);
    for (int k = 0; k < threads; k++)
        fibers[k].state = READY;
    for (State common = AT_BARRIER; common == AT_BARRIER;) {
        int warps = threads / WARP_SIZE;
        for (int k = 0; k < warps; k++) {
            int first = (backwards ? warps - 1 - k : k) * WARP_SIZE;
            State stop = AT_SHUFFLE;
            while (stop == AT_SHUFFLE)
                if (!advance(first, first + WARP_SIZE, backwards, stop))
                    return "threads of one warp stopped at different places";
            if (k > 0 && stop != common)
                return "a barrier that not all warps of the block reach";
            common = stop;
        }
    }
    return nullptr;
}

template <class... A> struct Call {
    void (*kernel)(A...);
    void** args;
    template <size_t... I> void with(std::index_sequence<I...>) { kernel(*(A*)args[I]...); }
    static void make(void* self) { ((Call*)self)->with(std::index_sequence_for<A...>()); }
};

template <class... A>
const char* emulate(void (*kernel)(A...), const unsigned* shape, void** args, int backwards)
{
    Call<A...> this_call{kernel, args};
    body = Call<A...>::make;
    call = &this_call;
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], 1, 1};
    if (shape[3] % WARP_SIZE || shape[3] > MOST_THREADS)
        return "a block that is not whole warps, or of more than 1024 threads";
    for (unsigned k = 0; k < shape[3]; k++)
        fibers[k].index = {k, 0, 0};
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                if (const char* trouble = run_block(shape[3], backwards)) {
                    for (Fiber& fiber : fibers)
                        fiber.started = false;  // some are still inside of the kernel
                    return trouble;
                }
            }
    return nullptr;
}
