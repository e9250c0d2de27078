// CUDA for g++: the part of the language that our kernels use, compiled to a shared library.
//
// The blocks of a grid run one after the other. The threads of a block are fibers, each with its own stack: a
// fiber runs until it reaches a barrier, then the next one runs, and when all have reached it, all go on. Because
// they run in order, a missing barrier may go unnoticed. With SHIM_REVERSED they run in reverse order, and a
// kernel with a missing barrier gives different results in one of the two orders.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#define ON_HOST
using std::isfinite;
static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
// Only one block runs at a time, so its shared memory may be static.
#define __shared__ static

struct Dim3 {
    unsigned x, y, z;
};
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

const unsigned WARP = 32, MOST_THREADS = 1024;
const size_t STACK = 256 * 1024;

enum State { RUNS, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

struct Fiber {
    ucontext_t context;
    char* stack;  // not zeroed: only the pages in use take memory
    State state;
    unsigned index;
};

static Fiber fibers[MOST_THREADS];
static ucontext_t scheduler;
static Fiber* current;
static void (*body)(void**);
static void** arguments;

static void fail(const char* what) {
    std::fprintf(stderr, "shim: %s in block (%u, %u, %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z);
    std::abort();
}

static void entry() {
    body(arguments);
    current->state = DONE;
    swapcontext(&current->context, &scheduler);
}

static void wait(State state) {
    Fiber* self = current;
    self->state = state;
    swapcontext(&self->context, &scheduler);
}

static void resume(Fiber& fiber) {
    current = &fiber;
    unsigned i = fiber.index;
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    swapcontext(&scheduler, &fiber.context);
}

// Let the threads from first to end go on if all of them wait at this barrier.
static bool release(State barrier, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++)
        if (fibers[i].state != barrier) return false;
    for (unsigned i = first; i < end; i++) fibers[i].state = RUNS;
    return true;
}

static void run_block(unsigned threads) {
    for (unsigned i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        fiber.state = RUNS;
        fiber.index = i;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, entry, 0);
    }
    for (;;) {
        bool moved = false;
        for (unsigned k = 0; k < threads; k++) {
#ifdef SHIM_REVERSED
            Fiber& fiber = fibers[threads - 1 - k];
#else
            Fiber& fiber = fibers[k];
#endif
            if (fiber.state == RUNS) {
                resume(fiber);
                moved = true;
            }
        }
        for (unsigned w = 0; w < threads; w += WARP)
            moved |= release(AT_WARP_BARRIER, w, w + WARP < threads ? w + WARP : threads);
        moved |= release(AT_BLOCK_BARRIER, 0, threads);
        if (!moved) break;
    }
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].state != DONE) fail("a barrier that not all threads reach,");
}

static void launch(void (*kernel)(void**), const unsigned* grid, const unsigned* block, void** values) {
    body = kernel;
    arguments = values;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    if (gridDim.y > 65535 || gridDim.z > 65535) fail("a grid that no GPU allows,");
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    if (threads == 0 || threads > MOST_THREADS) fail("a number of threads that no GPU allows,");
    for (unsigned i = 0; i < threads; i++)
        if (!fibers[i].stack) fibers[i].stack = new char[STACK];
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block(threads);
}

// Append a type as NumPy names it, f4 or u1, with a star for a pointer.
template <class T>
static void append_type(char* text) {
    using Value = std::remove_const_t<std::remove_pointer_t<T>>;
    char kind = std::is_floating_point_v<Value> ? 'f' : std::is_signed_v<Value> ? 'i' : 'u';
    unsigned size = std::is_class_v<Value> ? 1 : sizeof(Value);  // structs are passed as bytes
    std::sprintf(text + std::strlen(text), "%c%u%s ", kind, size, std::is_pointer_v<T> ? "*" : "");
}

template <auto kernel>
struct Call;

// Calls a kernel with arguments that are given by their addresses.
template <class... T, void (*kernel)(T...)>
struct Call<kernel> {
    template <size_t... k>
    static void apply(void** values, std::index_sequence<k...>) {
        kernel(*(T*)values[k]...);
    }
    static void all(void** values) { apply(values, std::index_sequence_for<T...>()); }
    static void signature(char* text) { (append_type<T>(text), ...); }
};

}  // namespace shim

// For the tests: run_NAME(grid, block, addresses of the arguments); signature_NAME(text) appends their types.
#define SHIM_EXPORT(name)                                                                       \
    extern "C" void signature_##name(char* text) { shim::Call<name>::signature(text); }         \
    extern "C" void run_##name(const unsigned* grid, const unsigned* block, void** arguments) { \
        shim::launch(shim::Call<name>::all, grid, block, arguments);                            \
    }

static inline void __syncthreads() { shim::wait(shim::AT_BLOCK_BARRIER); }
static inline void __syncwarp() { shim::wait(shim::AT_WARP_BARRIER); }

// How the tensor cores round factors: TF32 to 10 bits, ties away from zero; BF16 to 7 bits, ties to even.
static inline float host_rounded(float x, unsigned add, unsigned mask) {
    if (!std::isfinite(x)) return x;
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    bits = (bits + add) & mask;
    std::memcpy(&x, &bits, 4);
    return x;
}
static inline float host_tf32(float x) { return host_rounded(x, 0x1000, ~0x1fffu); }
static inline float host_bf16(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return host_rounded(x, 0x7fff + (bits >> 16 & 1), ~0xffffu);
}
