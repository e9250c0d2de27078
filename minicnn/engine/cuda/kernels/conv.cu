// One convolution with what follows it, bias, ReLU and a 2 × 2 max-pool, and the way back: behind gemm.cu and pool.cu.
//
//     forward            y[pixel, f] = pool(relu(Σ_k window(pixel, k) · W[k, f] + b[f]))
//     weights_gradient   dW[k, f] = Σ_pixel window(pixel, k) · dz[pixel, f]        db[f] = Σ_pixel dz[pixel, f]
//     input_gradient     dx[pixel, c] = Σ_(i, j, f) dz[the window that has the pixel at (i, j), f] · W[i, j, c, f]
//
// Matrix products whose left side is never laid out: im2col happens while a tile is brought into shared
// memory, and so does the way back through pool and ReLU, which is a look at the *code* of each result,
// one byte: the number of the cell in the pooling window that was the maximum, or CELLS if the ReLU was closed.
//
// The sizes are constants of the compilation, so that no division is left: those of pool.cu, H, W, C of the
// image, KH, KW of the kernel, SH, SW strides, DH, DW dilations, TOP, LEFT padding. The batch is N.
//
// Floor: 2·N·OH·OW·OC·KH·KW·C operations in each of the three; x, W, y and the codes once from memory.

const int DEPTH = KH * KW * C;  // numbers of a window

// Number k of the window that an output is computed from: x at (i, j, c), k = (i·KW + j)·C + c.
__device__ float window(const float* x, int output, int k) {
    Pixel p = pixel(output);
    int h = p.h * SH + k / C / KW * DH - TOP, w = p.w * SW + k / C % KW * DW - LEFT;
    return h >= 0 && h < H && w >= 0 && w < W ? x[((p.n * H + h) * W + w) * C + k % C] : 0;
}

struct Windows {
    static constexpr bool K_FIRST = true;
    const float* x;
    int outputs;
    __device__ float operator()(int output, int k) const { return output < outputs ? window(x, output, k) : 0; }
};

struct Filters {
    static constexpr bool K_FIRST = false;
    const float* w;
    __device__ float operator()(int k, int f) const { return f < OC ? w[k * OC + f] : 0; }
};

// x (N, H, W, C), w (DEPTH, OC), bias (OC) → y and codes (N, PH, PW, OC). Grid: (outputs / TILE_M, OC / TILE_N).
extern "C" __global__ void __launch_bounds__(THREADS)
forward(const float* x, const float* w, const float* bias, float* y, unsigned char* codes, int N) {
    const int WINDOWS = TILE_M / CELLS;  // pooling windows of a tile
    __shared__ union {
        Shared factors;
        float sums[TILE_M][TILE_N + 1];
    } memory;
    int outputs = N * PH * PW * CELLS, first = blockIdx.x * TILE_M, first_f = blockIdx.y * TILE_N;
    Sums sums;
    product(sums, memory.factors, Windows{x, outputs}, Filters{w}, first, first_f, 0, DEPTH);
    store_sums(sums, 0, 0, TILE_M, TILE_N, [&](int row, int f, float sum) { memory.sums[row][f] = sum; });
    __syncthreads();
    for (int i = threadIdx.x; i < WINDOWS * TILE_N; i += THREADS) {
        int f = first_f + i % TILE_N, q = first / CELLS + i / TILE_N;
        if (f >= OC || q >= outputs / CELLS) continue;
        Maximum maximum;
#pragma unroll
        for (int cell = 0; cell < CELLS; cell++)
            maximum.meet(memory.sums[i / TILE_N * CELLS + cell][i % TILE_N] + bias[f], cell);
        maximum.store(y, codes, q * OC + f);
    }
}

// The transposed windows, and below them a row of ones, which adds up db.
struct WindowsAcross {
    static constexpr bool K_FIRST = false;
    const float* x;
    __device__ float operator()(int k, int output) const {
        return k < DEPTH ? window(x, output, k) : k == DEPTH ? 1 : 0;
    }
};

struct OutputGradients {
    static constexpr bool K_FIRST = false;
    const float* dy;
    const unsigned char* codes;
    __device__ float operator()(int output, int f) const {
        return f < OC ? input_gradient_of_pool(dy, codes, pixel(output), f) : 0;
    }
};

// → parts (gridDim.z, DEPTH + 1, OC): dW and below it db, each part from ``share`` of the outputs.
// Grid: (DEPTH + 1 / TILE_M, OC / TILE_N, parts).
extern "C" __global__ void __launch_bounds__(THREADS)
weights_gradient(const float* x, const float* dy, const unsigned char* codes, float* parts, int N, int share) {
    __shared__ Shared memory;
    int outputs = N * PH * PW * CELLS, first = blockIdx.z * share, end = min(first + share, outputs);
    int k = blockIdx.x * TILE_M, f = blockIdx.y * TILE_N;
    Sums sums;
    product(sums, memory, WindowsAcross{x}, OutputGradients{dy, codes}, k, f, first, end);
    float* part = parts + blockIdx.z * (DEPTH + 1) * OC;
    store_sums(sums, k, f, DEPTH + 1, OC, [&](int row, int column, float sum) { part[row * OC + column] = sum; });
}

// dz of the windows that an input pixel is in: k = (i·KW + j)·OC + f is the window that has it at (i, j).
struct GradientsAround {
    static constexpr bool K_FIRST = true;
    const float* dy;
    const unsigned char* codes;
    int pixels;
    __device__ float operator()(int pixel, int k) const {
        if (pixel >= pixels) return 0;
        int h = pixel / W % H + TOP - k / OC / KW * DH, w = pixel % W + LEFT - k / OC % KW * DW;
        if (h < 0 || h % SH != 0 || h / SH >= OH || w < 0 || w % SW != 0 || w / SW >= OW) return 0;
        return input_gradient_of_pool(dy, codes, {pixel / W / H, h / SH, w / SW}, k % OC);
    }
};

struct FiltersAcross {
    static constexpr bool K_FIRST = true;
    const float* w;
    __device__ float operator()(int k, int c) const { return c < C ? w[(k / OC * C + c) * OC + k % OC] : 0; }
};

// → dx (N, H, W, C). Grid: (pixels / TILE_M, C / TILE_N).
extern "C" __global__ void __launch_bounds__(THREADS)
input_gradient(const float* dy, const unsigned char* codes, const float* w, float* dx, int N) {
    __shared__ Shared memory;
    int pixels = N * H * W, first = blockIdx.x * TILE_M, c = blockIdx.y * TILE_N;
    Sums sums;
    product(sums, memory, GradientsAround{dy, codes, pixels}, FiltersAcross{w}, first, c, 0, KH * KW * OC);
    store_sums(sums, first, c, pixels, C, [&](int row, int column, float sum) { dx[row * C + column] = sum; });
}
