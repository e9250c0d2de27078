// The kernels of the readable path: the functions of reference.py, one thread for each number of the
// result, so that no two threads write to the same place and every sum has a fixed order: the one of
// reference.py, to the last bit.
//
// REAL, a constant of the compilation, is float or double. Activations are NHWC. A window slides over the image: (KH, KW) is its size,
// (SH, SW) the step from one window to the next, (DH, DW) from one of its pixels to the next, and
// (top, left) is how far it begins outside the image.
//
// Floor: each kernel reads and writes every number once, but for col2im and the backward passes of
// the pools, which read up to KH·KW numbers for one that they write; few operations go with that.

typedef long long Index;

// The numbers of the result that belong to this thread: i = first(); i < size; i += step().
__device__ Index first() { return (Index)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ Index step() { return (Index)gridDim.x * blockDim.x; }

// Split off the last axis of an index: return its coordinate and leave the rest in i.
__device__ int last(Index& i, int size) {
    int coordinate = (int)(i % size);
    i /= size;
    return coordinate;
}

// The window that holds pixel p of an axis at its place k, or −1 if there is none.
__device__ int window_at(int p, int k, int before, int stride, int dilation, int windows) {
    int start = p + before - k * dilation;
    return start >= 0 && start % stride == 0 && start / stride < windows ? start / stride : -1;
}

// x (N, H, W, C) → cols (N·OH·OW, KH·KW·C): every window as a row.
extern "C" __global__ void im2col(const REAL* x, REAL* cols, Index size, int H, int W, int C, int OH, int OW,
                                  int KH, int KW, int SH, int SW, int DH, int DW, int top, int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), kw = last(n, KW), kh = last(n, KH), ow = last(n, OW), oh = last(n, OH);
        int h = oh * SH + kh * DH - top, w = ow * SW + kw * DW - left;
        bool inside = h >= 0 && h < H && w >= 0 && w < W;
        cols[i] = inside ? x[((n * H + h) * W + w) * C + c] : (REAL)0;
    }
}

// cols (N·OH·OW, KH·KW·C) → dx (N, H, W, C): for each pixel the sum over the rows it was copied into.
extern "C" __global__ void col2im(const REAL* cols, REAL* dx, Index size, int H, int W, int C, int OH, int OW,
                                  int KH, int KW, int SH, int SW, int DH, int DW, int top, int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), w = last(n, W), h = last(n, H);
        REAL sum = 0;
        for (int kh = 0; kh < KH; kh++) {
            int oh = window_at(h, kh, top, SH, DH, OH);
            for (int kw = 0; oh >= 0 && kw < KW; kw++) {
                int ow = window_at(w, kw, left, SW, DW, OW);
                if (ow >= 0) sum += cols[((((n * OH + oh) * OW + ow) * KH + kh) * KW + kw) * C + c];
            }
        }
        dx[i] = sum;
    }
}

// x (N, H, W, C) → y and argmax (N, OH, OW, C). The first maximum wins, and the first NaN over all.
extern "C" __global__ void max_pool_forward(const REAL* x, REAL* y, int* argmax, Index size, int H, int W,
                                            int C, int OH, int OW, int KH, int KW, int SH, int SW, int top,
                                            int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), ow = last(n, OW), oh = last(n, OH);
        REAL best = 0;
        int where = -1;
        for (int kh = 0; kh < KH; kh++) {
            for (int kw = 0; kw < KW; kw++) {
                int h = oh * SH + kh - top, w = ow * SW + kw - left;
                if (h < 0 || h >= H || w < 0 || w >= W) continue;
                REAL value = x[((n * H + h) * W + w) * C + c];
                if (where < 0 || value > best || (value != value && best == best)) {
                    best = value;
                    where = kh * KW + kw;
                }
            }
        }
        y[i] = best;
        argmax[i] = where;
    }
}

// dy and argmax (N, OH, OW, C) → dx (N, H, W, C): the dy of all windows whose maximum a pixel was.
extern "C" __global__ void max_pool_backward(const REAL* dy, const int* argmax, REAL* dx, Index size, int H,
                                             int W, int C, int OH, int OW, int KH, int KW, int SH, int SW,
                                             int top, int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), w = last(n, W), h = last(n, H);
        REAL sum = 0;
        for (int kh = 0; kh < KH; kh++) {
            int oh = window_at(h, kh, top, SH, 1, OH);
            for (int kw = 0; oh >= 0 && kw < KW; kw++) {
                int ow = window_at(w, kw, left, SW, 1, OW);
                if (ow < 0) continue;
                Index at = ((n * OH + oh) * OW + ow) * C + c;
                if (argmax[at] == kh * KW + kw) sum += dy[at];
            }
        }
        dx[i] = sum;
    }
}

// How many pixels of window o of an axis are inside the image.
__device__ int pixels_inside(int o, int k, int stride, int before, int size) {
    int start = o * stride - before, end = start + k;
    return (end < size ? end : size) - (start > 0 ? start : 0);
}

// x (N, H, W, C) → y (N, OH, OW, C): the mean over the pixels of a window that are inside the image.
extern "C" __global__ void avg_pool_forward(const REAL* x, REAL* y, Index size, int H, int W, int C, int OH,
                                            int OW, int KH, int KW, int SH, int SW, int top, int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), ow = last(n, OW), oh = last(n, OH);
        REAL sum = 0;
        for (int kh = 0; kh < KH; kh++) {
            for (int kw = 0; kw < KW; kw++) {
                int h = oh * SH + kh - top, w = ow * SW + kw - left;
                if (h >= 0 && h < H && w >= 0 && w < W) sum += x[((n * H + h) * W + w) * C + c];
            }
        }
        y[i] = sum / (REAL)(pixels_inside(oh, KH, SH, top, H) * pixels_inside(ow, KW, SW, left, W));
    }
}

// dy (N, OH, OW, C) → dx (N, H, W, C): each pixel's share of the dy of the windows that it is in.
extern "C" __global__ void avg_pool_backward(const REAL* dy, REAL* dx, Index size, int H, int W, int C,
                                             int OH, int OW, int KH, int KW, int SH, int SW, int top,
                                             int left) {
    for (Index i = first(); i < size; i += step()) {
        Index n = i;
        int c = last(n, C), w = last(n, W), h = last(n, H);
        REAL sum = 0;
        for (int kh = 0; kh < KH; kh++) {
            int oh = window_at(h, kh, top, SH, 1, OH);
            for (int kw = 0; oh >= 0 && kw < KW; kw++) {
                int ow = window_at(w, kw, left, SW, 1, OW);
                if (ow < 0) continue;
                int pixels = pixels_inside(oh, KH, SH, top, H) * pixels_inside(ow, KW, SW, left, W);
                sum += dy[((n * OH + oh) * OW + ow) * C + c] / (REAL)pixels;
            }
        }
        dx[i] = sum;
    }
}

// y = max(x, 0); NaN ≤ 0 is false: NaN stays.
extern "C" __global__ void relu_forward(const REAL* x, REAL* y, Index size) {
    for (Index i = first(); i < size; i += step()) y[i] = x[i] <= 0 ? (REAL)0 : x[i];
}

// dx = dy where y > 0, else 0.
extern "C" __global__ void relu_backward(const REAL* dy, const REAL* y, REAL* dx, Index size) {
    for (Index i = first(); i < size; i += step()) dx[i] = y[i] > 0 ? dy[i] : (REAL)0;
}
