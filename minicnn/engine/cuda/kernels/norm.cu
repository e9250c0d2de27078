// Batch normalization, with the ReLU and the 2 × 2 max-pool behind it, and the way back: behind records.cu and
// pool.cu.
//
//     x̂ = (x − μ) / √(σ² + ε)        y = pool(relu(γ·x̂ + β))
//     dγ = Σ dz·x̂    dβ = Σ dz       dx = γ / √(σ² + ε) · (dz − dβ / M − x̂·dγ / M)
//
// dz is dy on its way back through pool and ReLU. Sums go over the M = N·OH·OW values of a channel, in two
// steps: each block adds up a share of them, then one block adds up what these found, in their order.
//
// Floor: x is read three times forward and twice back, with dy; y and dx are written once.

const int THREADS = 256;
// A row of C numbers is read by C threads, or several rows at once where these are few.
const int AT_ONCE = OC < THREADS ? THREADS / OC : 1;

// → parts (gridDim.x, OC): sums of value(row, c) over ``share`` rows each.
template <class Value>
__device__ void sum_share(const Value& value, float* parts, int M, int share) {
    __shared__ float of_row[THREADS];
    int first = blockIdx.x * share, end = first + share < M ? first + share : M;
    for (int c0 = 0; c0 < OC; c0 += THREADS) {
        int c = c0 + threadIdx.x % (OC < THREADS ? OC : THREADS);
        float sum = 0;
        if (c < OC && threadIdx.x < AT_ONCE * OC)
            for (int row = first + threadIdx.x / OC % AT_ONCE; row < end; row += AT_ONCE) sum += value(row, c);
        of_row[threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.x < OC && c < OC) {
            for (int r = 1; r < AT_ONCE; r++) sum += of_row[r * OC + threadIdx.x];
            parts[blockIdx.x * OC + c] = sum;
        }
        __syncthreads();
    }
}

// The sum of a channel's parts, in their order.
__device__ float sum_parts(const float* parts, int count, int c) {
    float sum = 0;
    for (int part = 0; part < count; part++) sum += parts[part * OC + c];
    return sum;
}

// Grid: shares.
extern "C" __global__ void __launch_bounds__(THREADS) sum(const float* x, float* parts, int M, int share) {
    sum_share([&](int row, int c) { return x[row * OC + c]; }, parts, M, share);
}

// → mean (OC). Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS) mean(const float* parts, float* mean, int M, int count) {
    for (int c = threadIdx.x; c < OC; c += THREADS) mean[c] = sum_parts(parts, count, c) / M;
}

// Grid: shares.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_squares(const float* x, const float* mean, float* parts, int M, int share) {
    sum_share([&](int row, int c) { return (x[row * OC + c] - mean[c]) * (x[row * OC + c] - mean[c]); }, parts, M,
              share);
}

// → var and inv_std (OC). Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS)
variance(const float* parts, float* var, float* inv_std, int M, int count, float epsilon) {
    for (int c = threadIdx.x; c < OC; c += THREADS) {
        var[c] = sum_parts(parts, count, c) / M;
        inv_std[c] = 1 / sqrtf(var[c] + epsilon);
    }
}

// Move the running averages toward the batch's. Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS)
move_running(const float* mean, const float* var, float* running_mean, float* running_var, const Totals* totals,
             float momentum, float rest) {
    if (totals->broken) return;
    for (int c = threadIdx.x; c < OC; c += THREADS) {
        running_mean[c] = momentum * running_mean[c] + rest * mean[c];
        running_var[c] = momentum * running_var[c] + rest * var[c];
    }
}

// inv_std (OC) of the running variance, for prediction. Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS) invert(const float* var, float* inv_std, float epsilon) {
    for (int c = threadIdx.x; c < OC; c += THREADS) inv_std[c] = 1 / sqrtf(var[c] + epsilon);
}

// → y and codes (N, PH, PW, OC). Grid: N·PH·PW·OC / THREADS.
extern "C" __global__ void __launch_bounds__(THREADS)
forward(const float* x, const float* mean, const float* inv_std, const float* gamma, const float* beta, float* y,
        unsigned char* codes, int N) {
    int at = blockIdx.x * THREADS + threadIdx.x, c = at % OC;
    if (at >= N * PH * PW * OC) return;
    Maximum maximum;
    for (int cell = 0; cell < CELLS; cell++) {
        Pixel p = pixel(at / OC * CELLS + cell);
        float x_hat = (x[((p.n * OH + p.h) * OW + p.w) * OC + c] - mean[c]) * inv_std[c];
        maximum.meet(gamma[c] * x_hat + beta[c], cell);
    }
    maximum.store(y, codes, at);
}

// Pixel ``row`` of the input in the order of memory.
__device__ Pixel in_memory(int row) { return {row / OW / OH, row / OW % OH, row % OW}; }

// → parts of dβ. Grid: shares.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_gradients(const float* dy, const unsigned char* codes, float* parts, int M, int share) {
    sum_share([&](int row, int c) { return input_gradient_of_pool(dy, codes, in_memory(row), c); }, parts, M, share);
}

// → parts of dγ. Grid: shares.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_products(const float* x, const float* mean, const float* inv_std, const float* dy, const unsigned char* codes,
             float* parts, int M, int share) {
    sum_share(
        [&](int row, int c) {
            float x_hat = (x[row * OC + c] - mean[c]) * inv_std[c];
            return input_gradient_of_pool(dy, codes, in_memory(row), c) * x_hat;
        },
        parts, M, share);
}

// → dgamma and dbeta (OC). Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS)
finish_gradients(const float* beta_parts, const float* gamma_parts, float* dgamma, float* dbeta, int count) {
    for (int c = threadIdx.x; c < OC; c += THREADS) {
        dbeta[c] = sum_parts(beta_parts, count, c);
        dgamma[c] = sum_parts(gamma_parts, count, c);
    }
}

// → dx (N, OH, OW, OC). Grid: M·OC / THREADS.
extern "C" __global__ void __launch_bounds__(THREADS)
backward(const float* x, const float* mean, const float* inv_std, const float* gamma, const float* dgamma,
         const float* dbeta, const float* dy, const unsigned char* codes, float* dx, int M) {
    int at = blockIdx.x * THREADS + threadIdx.x, row = at / OC, c = at % OC;
    if (at >= M * OC) return;
    float x_hat = (x[at] - mean[c]) * inv_std[c];
    float dz = input_gradient_of_pool(dy, codes, in_memory(row), c);
    dx[at] = gamma[c] * inv_std[c] * (dz - dbeta[c] / M - x_hat * (dgamma[c] / M));
}
