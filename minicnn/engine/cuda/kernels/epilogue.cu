// ReLU and 2 × 2 max-pooling after a convolution or normalization, in the same kernel, and their gradient.
//
// One byte per output, its *switch*, records where the gradient goes: the cell of the pooling window with the
// maximum, or CELLS if the ReLU was closed.
//
// Compile-time constants: the input is OH × OW pixels of OC channels; POOL is the side of the pooling window, 1
// for no pooling; RELU is 1 or 0. The output is PH × PW pixels.

const int CELLS = POOL * POOL, PH = OH / POOL, PW = OW / POOL;

struct Pixel {
    int n, h, w;
};

// Input pixel i, counting window by window and skipping pixels that no window covers.
__device__ Pixel pixel(int i) {
    int cell = i % CELLS, q = i / CELLS;
    return {q / PW / PH, q / PW % PH * POOL + cell / POOL, q % PW * POOL + cell % POOL};
}

// Write output ``at`` and its switch from value(cell). Ties go to the first cell; NaN beats every number.
template <class Value>
__device__ void pool_relu(const Value& value, float* y, unsigned char* switches, int at) {
    float best = value(0);
    int winner = 0;
#pragma unroll
    for (int cell = 1; cell < CELLS; cell++) {
        float next = value(cell);
        if (next > best || (next != next && best == best)) best = next, winner = cell;
    }
    y[at] = RELU && best <= 0 ? 0 : best;  // NaN stays NaN
    switches[at] = RELU && !(best > 0) ? CELLS : winner;
}

// The gradient at one input: its output's dy if it was the maximum, else 0.
__device__ float epilogue_gradient(const float* dy, const unsigned char* switches, Pixel p, int c) {
    int ph = p.h / POOL, pw = p.w / POOL;
    if (ph >= PH || pw >= PW) return 0;
    int at = ((p.n * PH + ph) * PW + pw) * OC + c;
    return switches[at] == p.h % POOL * POOL + p.w % POOL ? dy[at] : 0;
}
