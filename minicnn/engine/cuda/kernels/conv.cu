// Convolutions and dense layers, with bias, ReLU and 2 × 2 max-pooling, forward and backward. After gemm.cu and
// epilogue.cu. A dense layer is a 1 × 1 convolution of an image of one pixel.
//
//     y[q, f] = pool(relu(Σ_k window(q, k) · W[k, f] + b[f]))
//     dW[k, f] = Σ_q window(q, k) · dz[q, f]        db[f] = Σ_q dz[q, f]
//     dx[p, c] = Σ_(i, j, f) dz[the output whose window has pixel p at (i, j), f] · W[i, j, c, f]
//
// These are matrix products. im2col and the backward pass of ReLU and pooling happen while a tile is loaded into
// shared memory.
//
// Compile-time constants: those of epilogue.cu; image H, W, C; filter KH, KW; strides SH, SW; dilations DH, DW;
// padding TOP, LEFT. N is the batch size.
//
// Cost: 2·N·OH·OW·OC·KH·KW·C operations per product; x, W, y and the switches are read or written once.

const int DEPTH = KH * KW * C;  // numbers in a window

// Number k = (i·KW + j)·CHANNELS + c of a window: channel c of its pixel (i, j).
struct Tap {
    int i, j, c;
};
template <int CHANNELS>
__device__ Tap tap(int k) {
    if (KH * KW == 1) return {0, 0, k};
    return {k / CHANNELS / KW, k / CHANNELS % KW, k % CHANNELS};
}

// Number k of the window of an output; 0 in the padding.
__device__ float window(const float* x, int output, int k) {
    Pixel p = pixel(output);
    Tap t = tap<C>(k);
    int h = p.h * SH + t.i * DH - TOP, w = p.w * SW + t.j * DW - LEFT;
    return h >= 0 && h < H && w >= 0 && w < W ? x[((p.n * H + h) * W + w) * C + t.c] : 0;
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

// x (N, H, W, C), w (DEPTH, OC), bias (OC) → y and switches (N, PH, PW, OC). Grid: (tiles, parts). With few tiles,
// the sum is split into parts of ``share`` numbers, written to parts (gridDim.y, outputs, OC): see ``finish``.
KERNEL forward(const float* x, const float* w, const float* bias, float* y, unsigned char* switches, float* parts,
               int N, int share) {
    __shared__ union {
        Tiles tiles;
        float sums[TILE_M][TILE_N + 1];
    } memory;
    int outputs = N * PH * PW * CELLS, first = blockIdx.y * share;
    Tile tile = tile_of(OC);
    Sums sums;
    gemm(sums, memory.tiles, Windows{x, outputs}, Filters{w}, tile, first, min(first + share, DEPTH));
    if (gridDim.y > 1) {
        store(sums, parts + blockIdx.y * outputs * OC, OC, tile, outputs, OC);
        return;
    }
    store(sums, memory.sums[0], TILE_N + 1, {0, 0}, TILE_M, TILE_N);
    __syncthreads();
    for (int i = threadIdx.x; i < TILE_M / CELLS * TILE_N; i += THREADS) {
        int q = i / TILE_N, column = i % TILE_N, f = tile.n + column;
        if (f >= OC || tile.m + q * CELLS >= outputs) continue;
        auto value = [&](int cell) { return memory.sums[q * CELLS + cell][column] + bias[f]; };
        pool_relu(value, y, switches, (tile.m / CELLS + q) * OC + f);
    }
}

// y and switches from the parts, added up in order. Grid: N·PH·PW·OC / THREADS.
KERNEL finish(const float* parts, const float* bias, float* y, unsigned char* switches, int N, int count) {
    int at = blockIdx.x * THREADS + threadIdx.x, size = N * PH * PW * OC;
    if (at >= size) return;
    auto value = [&](int cell) {
        float sum = 0;
        for (int part = 0; part < count; part++)
            sum += parts[part * CELLS * size + (at / OC * CELLS + cell) * OC + at % OC];
        return sum + bias[at % OC];
    };
    pool_relu(value, y, switches, at);
}

// The transposed windows, and a last row of ones, which gives db.
struct WindowsTransposed {
    static constexpr bool K_FIRST = false;
    const float* x;
    __device__ float operator()(int k, int output) const {
        return k < DEPTH ? window(x, output, k) : k == DEPTH ? 1 : 0;
    }
};

struct OutputGradients {
    static constexpr bool K_FIRST = false;
    const float* dy;
    const unsigned char* switches;
    __device__ float operator()(int output, int f) const {
        return f < OC ? epilogue_gradient(dy, switches, pixel(output), f) : 0;
    }
};

// → parts (gridDim.y, DEPTH + 1, OC): dW and, as last row, db, of ``share`` outputs each. Grid: (tiles, parts).
KERNEL weights_gradient(const float* x, const float* dy, const unsigned char* switches, float* parts, int N,
                        int share) {
    __shared__ Tiles tiles;
    int outputs = N * PH * PW * CELLS, first = blockIdx.y * share;
    Tile tile = tile_of(OC);
    Sums sums;
    gemm(sums, tiles, WindowsTransposed{x}, OutputGradients{dy, switches}, tile, first, min(first + share, outputs));
    store(sums, parts + blockIdx.y * (DEPTH + 1) * OC, OC, tile, DEPTH + 1, OC);
}

// dz of the outputs whose windows contain an input pixel: k = (i·KW + j)·OC + f, the pixel is at (i, j).
struct GradientsAround {
    static constexpr bool K_FIRST = true;
    const float* dy;
    const unsigned char* switches;
    int pixels;
    __device__ float operator()(int p, int k) const {
        if (p >= pixels) return 0;
        Tap t = tap<OC>(k);
        int h = p / W % H + TOP - t.i * DH, w = p % W + LEFT - t.j * DW;
        if (h < 0 || h % SH != 0 || h / SH >= OH || w < 0 || w % SW != 0 || w / SW >= OW) return 0;
        return epilogue_gradient(dy, switches, {p / W / H, h / SH, w / SW}, t.c);
    }
};

struct FiltersTransposed {
    static constexpr bool K_FIRST = true;
    const float* w;
    __device__ float operator()(int k, int c) const {
        Tap t = tap<OC>(k);
        return c < C ? w[((t.i * KW + t.j) * C + c) * OC + t.c] : 0;
    }
};

// → dx (N, H, W, C). Grid: tiles.
KERNEL input_gradient(const float* dy, const unsigned char* switches, const float* w, float* dx, int N) {
    __shared__ Tiles tiles;
    int pixels = N * H * W;
    Tile tile = tile_of(C);
    Sums sums;
    gemm(sums, tiles, GradientsAround{dy, switches, pixels}, FiltersTransposed{w}, tile, 0, KH * KW * OC);
    store(sums, dx, C, tile, pixels, C);
}
