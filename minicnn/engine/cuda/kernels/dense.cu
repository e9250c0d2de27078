// A dense layer and its ReLU, and the way back: behind gemm.cu.
//
//     y = max(x @ W + b, 0)        dz = dy where y > 0        dW = xᵀ @ dz        db = Σ dz        dx = dz @ Wᵀ
//
// D inputs and UNITS outputs are constants of the compilation, RELU too; the batch is N. Few images make
// few tiles, so the sum over D is cut into parts, which ``finish`` adds up in their order.
//
// Floor: 2·N·D·UNITS operations in each of the three products; x, W, y once from memory.

// x (N, D).
struct Rows {
    static constexpr bool K_FIRST = true;
    const float* x;
    int N;
    __device__ float operator()(int n, int d) const { return n < N ? x[n * D + d] : 0; }
};

// W (D, UNITS).
struct Weights {
    static constexpr bool K_FIRST = false;
    const float* w;
    __device__ float operator()(int d, int u) const { return u < UNITS ? w[d * UNITS + u] : 0; }
};

// → parts (gridDim.z, N, UNITS), each from ``share`` of the D inputs. Grid: (N / TILE_M, UNITS / TILE_N, parts).
extern "C" __global__ void __launch_bounds__(THREADS)
forward(const float* x, const float* w, float* parts, int N, int share) {
    __shared__ Shared memory;
    int n = blockIdx.x * TILE_M, u = blockIdx.y * TILE_N, first = blockIdx.z * share, end = min(first + share, D);
    Sums sums;
    product(sums, memory, Rows{x, N}, Weights{w}, n, u, first, end);
    float* part = parts + blockIdx.z * N * UNITS;
    store_sums(sums, n, u, N, UNITS, [&](int row, int column, float sum) { part[row * UNITS + column] = sum; });
}

// y (N, UNITS) = max(Σ parts + bias, 0). Grid: N·UNITS / THREADS.
extern "C" __global__ void __launch_bounds__(THREADS)
finish(const float* parts, const float* bias, float* y, int N, int count) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= N * UNITS) return;
    float sum = 0;
    for (int part = 0; part < count; part++) sum += parts[part * N * UNITS + i];
    sum += bias[i % UNITS];
    y[i] = RELU && sum <= 0 ? 0 : sum;  // NaN stays
}

__device__ float output_gradient(const float* dy, const float* y, int i) { return RELU && !(y[i] > 0) ? 0 : dy[i]; }

// xᵀ, and below it a row of ones, which adds up db.
struct RowsAcross {
    static constexpr bool K_FIRST = false;
    const float* x;
    __device__ float operator()(int d, int n) const { return d < D ? x[n * D + d] : d == D ? 1 : 0; }
};

struct OutputGradients {
    static constexpr bool K_FIRST = false;
    const float *dy, *y;
    __device__ float operator()(int n, int u) const { return u < UNITS ? output_gradient(dy, y, n * UNITS + u) : 0; }
};

// → parts (gridDim.z, D + 1, UNITS): dW and below it db, each part from ``share`` of the images.
// Grid: (D + 1 / TILE_M, UNITS / TILE_N, parts).
extern "C" __global__ void __launch_bounds__(THREADS)
weights_gradient(const float* x, const float* dy, const float* y, float* parts, int N, int share) {
    __shared__ Shared memory;
    int d = blockIdx.x * TILE_M, u = blockIdx.y * TILE_N, first = blockIdx.z * share, end = min(first + share, N);
    Sums sums;
    product(sums, memory, RowsAcross{x}, OutputGradients{dy, y}, d, u, first, end);
    float* part = parts + blockIdx.z * (D + 1) * UNITS;
    store_sums(sums, d, u, D + 1, UNITS, [&](int row, int column, float sum) { part[row * UNITS + column] = sum; });
}

struct GradientRows {
    static constexpr bool K_FIRST = true;
    const float *dy, *y;
    int N;
    __device__ float operator()(int n, int u) const { return n < N ? output_gradient(dy, y, n * UNITS + u) : 0; }
};

struct WeightsAcross {
    static constexpr bool K_FIRST = true;
    const float* w;
    __device__ float operator()(int u, int d) const { return d < D ? w[d * UNITS + u] : 0; }
};

// → dx (N, D). Grid: (D / TILE_N, N / TILE_M): a GPU allows 65,535 in the second place.
extern "C" __global__ void __launch_bounds__(THREADS)
input_gradient(const float* dy, const float* y, const float* w, float* dx, int N) {
    __shared__ Shared memory;
    int d = blockIdx.x * TILE_N, n = blockIdx.y * TILE_M;
    Sums sums;
    product(sums, memory, GradientRows{dy, y, N}, WeightsAcross{w}, n, d, 0, UNITS);
    store_sums(sums, n, d, N, D, [&](int row, int column, float sum) { dx[row * D + column] = sum; });
}
