// The optimizer's step for all parameters, in one launch. With clipping (CLIP = 1), two launches before it compute
// the factor that limits the norm of all gradients. After step.cu.
//
//     SGD    v ← μ·v + g        w ← w − η·v        (Nesterov: w ← w − η·(g + μ·v))
//     Adam   m ← m + (1 − β₁)·(g − m)    s ← s + (1 − β₂)·(g² − s)    w ← w − η·m̂ / (√ŝ + ε)
//
// The gradient g comes in parts, which are added up here, in order, into the first one.
//
// Cost: the parts, w and its moments are read once; w, g and the moments are written once.

const int EACH = 4;  // numbers per thread

struct Parameter {
    float *w, *parts, *first_moment, *second_moment;
    long long size, stride, count;  // numbers in w; from one part to the next; parts
    float decay;
    int unused;
};

// The work of one block: THREADS·EACH numbers of a parameter, starting at ``first``.
struct Piece {
    int parameter, first;
};

// Call visit(parameter, i) for each number of the block's piece that belongs to this thread.
template <class Visit>
__device__ void for_piece(const Parameter* parameters, const Piece* pieces, const Visit& visit) {
    Parameter p = parameters[pieces[blockIdx.x].parameter];
    for (int e = 0; e < EACH; e++) {
        long long i = pieces[blockIdx.x].first + e * THREADS + threadIdx.x;
        if (i < p.size) visit(p, i);
    }
}

// Add up the parts of one gradient.
__device__ float gradient(const Parameter& p, long long i) {
    float g = p.parts[i];
    for (int part = 1; part < p.count; part++) g += p.parts[part * p.stride + i];
    return p.parts[i] = g;
}

// → squares (pieces): the sum of the squared gradients of each piece. Grid: pieces.
KERNEL square_sums(const Parameter* parameters, const Piece* pieces, double* squares) {
    double sum = 0;
    for_piece(parameters, pieces, [&](const Parameter& p, long long i) {
        double g = gradient(p, i);
        sum += g * g;
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// clip[0] = min(1, most / ‖g‖). Grid: 1.
KERNEL clip_scale(const double* squares, float* clip, double most, int pieces) {
    double sum = 0;
    for (int i = threadIdx.x; i < pieces; i += THREADS) sum += squares[i];
    double norm = sqrt(block_sum(sum));
    if (threadIdx.x == 0) clip[0] = norm <= most ? 1 : most / norm;
}

// w ← w − η·direction(parameter, i, g), where g includes clipping and weight decay.
template <class Direction>
__device__ void update(const Parameter* parameters, const Piece* pieces, const Step* step, const Totals* totals,
                       const float* clip, int decoupled, const Direction& direction) {
    if (totals->broken) return;
    float rate = step->learning_rate;
    for_piece(parameters, pieces, [&](const Parameter& p, long long i) {
        float w = p.w[i], g = CLIP ? clip[0] * p.parts[i] : gradient(p, i);  // square_sums has added up the parts
        float shrink = decoupled ? 1 - rate * p.decay : 1, pull = decoupled ? 0 : p.decay;
        p.w[i] = w * shrink - rate * direction(p, i, g + pull * w);
    });
}

// Grid: pieces.
KERNEL sgd(const Parameter* parameters, const Piece* pieces, const Step* step, const Totals* totals, const float* clip,
           float momentum, int nesterov, int decoupled) {
    update(parameters, pieces, step, totals, clip, decoupled, [&](const Parameter& p, long long i, float g) {
        if (momentum == 0) return g;
        float v = p.first_moment[i] = momentum * p.first_moment[i] + g;
        return nesterov ? g + momentum * v : v;
    });
}

// Grid: pieces.
KERNEL adam(const Parameter* parameters, const Piece* pieces, const Step* step, const Totals* totals, const float* clip,
            float rest_1, float rest_2, float epsilon, int decoupled) {
    float scale_1 = step->correction_1, scale_2 = step->correction_2;
    update(parameters, pieces, step, totals, clip, decoupled, [&](const Parameter& p, long long i, float g) {
        float m = p.first_moment[i] += rest_1 * (g - p.first_moment[i]);
        float s = p.second_moment[i] += rest_2 * (g * g - p.second_moment[i]);
        return m / scale_1 / (sqrtf(s / scale_2) + epsilon);
    });
}
