// The optimizer's step for all parameters in one launch; if gradients are clipped (CLIP) in three, the first two of
// which find the factor that holds the norm of all of them together. Behind records.cu.
//
//     SGD    v ← μ·v + g        w ← w − η·v        (Nesterov: w ← w − η·(g + μ·v))
//     Adam   m ← m + (1 − β₁)·(g − m)    s ← s + (1 − β₂)·(g² − s)    w ← w − η·m̂ / (√ŝ + ε)
//
// The gradient g comes in parts that are added up here, in their order, and is left in the first of them.
//
// Floor: every number of the parts, and w and its moments, read once; w, g and the moments written once.

const int THREADS = 256, EACH = 4;  // numbers of a thread

struct Parameter {
    float *w, *parts, *first_moment, *second_moment;
    long long size, stride, count;  // numbers of w; from one part to the next; parts
    float decay;
    int unused;
};

// A block's numbers: THREADS·EACH of one parameter, from ``first`` on.
struct Piece {
    int parameter, first;
};

// Add up the parts of one gradient.
__device__ float gradient(const Parameter& p, long long i) {
    float g = p.parts[i];
    for (int part = 1; part < p.count; part++) g += p.parts[part * p.stride + i];
    return p.parts[i] = g;
}

// Add up one number of each thread of a block, in a fixed order; the sum is thread 0's.
__device__ double block_sum(double mine) {
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = mine;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[0];
}

// The squares of each block's gradients, added up: squares (pieces). Grid: all pieces.
extern "C" __global__ void __launch_bounds__(THREADS)
square_sums(const Parameter* parameters, const Piece* pieces, double* squares) {
    Parameter p = parameters[pieces[blockIdx.x].parameter];
    double sum = 0;
    for (int e = 0; e < EACH; e++) {
        long long i = pieces[blockIdx.x].first + e * THREADS + threadIdx.x;
        if (i >= p.size) break;
        double g = gradient(p, i);
        sum += g * g;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// clip[0] = min(1, most / ‖g‖). Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS)
clip_scale(const double* squares, float* clip, double most, int pieces) {
    double sum = 0;
    for (int i = threadIdx.x; i < pieces; i += THREADS) sum += squares[i];
    double norm = sqrt(block_sum(sum));
    if (threadIdx.x == 0) clip[0] = norm <= most ? 1 : most / norm;
}

// The gradient as it is taken; ``square_sums`` has added up its parts.
__device__ float clipped(const Parameter& p, long long i, const float* clip) {
    return CLIP ? clip[0] * p.parts[i] : gradient(p, i);
}

// Grid: all pieces.
extern "C" __global__ void __launch_bounds__(THREADS)
sgd(const Parameter* parameters, const Piece* pieces, const Step* step, const Totals* totals,
    const float* clip, float momentum, int nesterov, int decoupled) {
    if (totals->broken) return;
    Parameter p = parameters[pieces[blockIdx.x].parameter];
    float rate = step->rate;
    float shrink = decoupled ? 1 - rate * p.decay : 1, pull = decoupled ? 0 : p.decay;
    for (int e = 0; e < EACH; e++) {
        long long i = pieces[blockIdx.x].first + e * THREADS + threadIdx.x;
        if (i >= p.size) return;
        float w = p.w[i], slope = clipped(p, i, clip) + pull * w;
        if (momentum != 0) {
            float v = p.first_moment[i] = momentum * p.first_moment[i] + slope;
            slope = nesterov ? slope + momentum * v : v;
        }
        p.w[i] = w * shrink - rate * slope;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
adam(const Parameter* parameters, const Piece* pieces, const Step* step, const Totals* totals,
     const float* clip, float rest_1, float rest_2, float epsilon, int decoupled) {
    if (totals->broken) return;
    Parameter p = parameters[pieces[blockIdx.x].parameter];
    float rate = step->rate;
    float shrink = decoupled ? 1 - rate * p.decay : 1, pull = decoupled ? 0 : p.decay;
    float scale_1 = step->scale_1, scale_2 = step->scale_2;
    for (int e = 0; e < EACH; e++) {
        long long i = pieces[blockIdx.x].first + e * THREADS + threadIdx.x;
        if (i >= p.size) return;
        float w = p.w[i], slope = clipped(p, i, clip) + pull * w;
        float m = p.first_moment[i] += rest_1 * (slope - p.first_moment[i]);
        float s = p.second_moment[i] += rest_2 * (slope * slope - p.second_moment[i]);
        p.w[i] = w * shrink - rate * (m / scale_1 / (sqrtf(s / scale_2) + epsilon));
    }
}
