// Batch normalization with ReLU and 2 × 2 max-pooling. After step.cu and epilogue.cu.
//
//     x̂ = (x − μ) / √(σ² + ε)        y = pool(relu(γ·x̂ + β))
//     dγ = Σ dz·x̂    dβ = Σ dz       dx = γ / √(σ² + ε) · (dz − dβ / M − x̂·dγ / M)
//
// dz is the gradient before ReLU and pooling. Sums are over the M = N·OH·OW values of a channel, in two steps: each
// block of threads adds up ``share`` rows, then one block adds up these parts, in order.
//
// Cost: x is read three times forward; x and dy twice backward; y and dx are written once.

// A block reads this many rows of OC numbers at a time.
const int ROWS = OC < THREADS ? THREADS / OC : 1;

// → parts (gridDim.x, OC): sums of value(row, c) over ``share`` rows each.
template <class Value>
__device__ void sum_rows(const Value& value, float* parts, int M, int share) {
    __shared__ float sums[THREADS];
    int first = blockIdx.x * share, end = min(first + share, M);
    for (int c0 = 0; c0 < OC; c0 += THREADS) {
        int c = c0 + threadIdx.x % (OC < THREADS ? OC : THREADS);
        float sum = 0;
        if (c < OC && threadIdx.x < ROWS * OC)
            for (int row = first + threadIdx.x / OC % ROWS; row < end; row += ROWS) sum += value(row, c);
        sums[threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.x < OC && c < OC) {
            for (int r = 1; r < ROWS; r++) sum += sums[r * OC + threadIdx.x];
            parts[blockIdx.x * OC + c] = sum;
        }
        __syncthreads();
    }
}

// x (M, OC) → parts. Grid: shares.
KERNEL sum(const float* x, float* parts, int M, int share) {
    sum_rows([&](int row, int c) { return x[row * OC + c]; }, parts, M, share);
}

// Squared deviations from the mean. Grid: shares.
KERNEL sum_squares(const float* x, const float* mean, float* parts, int M, int share) {
    auto square = [&](int row, int c) { return (x[row * OC + c] - mean[c]) * (x[row * OC + c] - mean[c]); };
    sum_rows(square, parts, M, share);
}

// totals (gridDim.x, OC) = Σ parts (gridDim.x, count, OC) / divisor.
KERNEL add_up(const float* parts, float* totals, int count, float divisor) {
    for (int c = threadIdx.x; c < OC; c += THREADS) {
        float sum = 0;
        for (int part = 0; part < count; part++) sum += parts[(blockIdx.x * count + part) * OC + c];
        totals[blockIdx.x * OC + c] = sum / divisor;
    }
}

// Update the running averages. Grid: 1.
KERNEL update_running(const float* mean, const float* var, float* running_mean, float* running_var,
                      const Totals* totals, float momentum, float rest) {
    if (totals->broken) return;
    for (int c = threadIdx.x; c < OC; c += THREADS) {
        running_mean[c] = momentum * running_mean[c] + rest * mean[c];
        running_var[c] = momentum * running_var[c] + rest * var[c];
    }
}

__device__ float inv_std(const float* var, float epsilon, int c) { return 1 / sqrtf(var[c] + epsilon); }

// → y and switches (N, PH, PW, OC). Grid: N·PH·PW·OC / THREADS.
KERNEL forward(const float* x, const float* mean, const float* var, float epsilon, const float* gamma,
               const float* beta, float* y, unsigned char* switches, int N) {
    int at = blockIdx.x * THREADS + threadIdx.x, c = at % OC;
    if (at >= N * PH * PW * OC) return;
    float scale = inv_std(var, epsilon, c);
    auto value = [&](int cell) {
        Pixel p = pixel(at / OC * CELLS + cell);
        float x_hat = (x[((p.n * OH + p.h) * OW + p.w) * OC + c] - mean[c]) * scale;
        return gamma[c] * x_hat + beta[c];
    };
    pool_relu(value, y, switches, at);
}

// dz at (row, c).
__device__ float dz(const float* dy, const unsigned char* switches, int row, int c) {
    return epilogue_gradient(dy, switches, {row / OW / OH, row / OW % OH, row % OW}, c);
}

// → parts (2, shares, OC) of dβ and of dγ. Grid: (shares, 2).
KERNEL sum_gradients(const float* x, const float* mean, const float* var, float epsilon, const float* dy,
                     const unsigned char* switches, float* parts, int M, int share) {
    auto product = [&](int row, int c) {
        float x_hat = (x[row * OC + c] - mean[c]) * inv_std(var, epsilon, c);
        return dz(dy, switches, row, c) * x_hat;
    };
    if (blockIdx.y == 0)
        sum_rows([&](int row, int c) { return dz(dy, switches, row, c); }, parts, M, share);
    else
        sum_rows(product, parts + gridDim.x * OC, M, share);
}

// totals: dβ and dγ (2, OC). → dx (N, OH, OW, OC). Grid: M·OC / THREADS.
KERNEL backward(const float* x, const float* mean, const float* var, float epsilon, const float* gamma,
                const float* totals, const float* dy, const unsigned char* switches, float* dx, int M) {
    int at = blockIdx.x * THREADS + threadIdx.x, c = at % OC;
    if (at >= M * OC) return;
    float scale = inv_std(var, epsilon, c), x_hat = (x[at] - mean[c]) * scale;
    dx[at] = gamma[c] * scale * (dz(dy, switches, at / OC, c) - totals[c] / M - x_hat * (totals[OC + c] / M));
}
