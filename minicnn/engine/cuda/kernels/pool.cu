// ReLU and a 2 × 2 max-pool behind a convolution or a normalization, forward and back.
//
// For each result one byte is kept, its *code*, which says where the gradient goes: the number of the cell in
// the pooling window that was the maximum, or CELLS if the ReLU was closed and it goes nowhere.
//
// Constants of the compilation: OH × OW pixels of OC channels come in, POOL is the pool's side (1 without
// one), RELU says whether there is one. PH × PW pixels come out.

const int CELLS = POOL * POOL, PH = OH / POOL, PW = OW / POOL;

// A pixel that comes in. The cells of a window follow each other; pixels that no window covers are left out.
struct Pixel {
    int n, h, w;
};
__device__ Pixel pixel(int i) {
    int cell = i % CELLS, q = i / CELLS;
    return {q / PW / PH, q / PW % PH * POOL + cell / POOL, q % PW * POOL + cell % POOL};
}

// The maximum of a window, cell after cell: of equal ones the first wins, and the first NaN over all.
struct Maximum {
    float best;
    int code;
    __device__ void meet(float value, int cell) {
        if (cell == 0 || value > best || (value != value && best == best)) best = value, code = cell;
    }
    __device__ void store(float* y, unsigned char* codes, int at) const {
        y[at] = RELU && best <= 0 ? 0 : best;  // NaN stays
        codes[at] = RELU && !(best > 0) ? CELLS : code;
    }
};

// The gradient of one number that came in: dy (N, PH, PW, OC) where it was the maximum, else 0.
__device__ float input_gradient_of_pool(const float* dy, const unsigned char* codes, Pixel p, int c) {
    int ph = p.h / POOL, pw = p.w / POOL;
    if (ph >= PH || pw >= PW) return 0;
    int at = ((p.n * PH + ph) * PW + pw) * OC + c;
    return codes[at] == p.h % POOL * POOL + p.w % POOL ? dy[at] : 0;
}
