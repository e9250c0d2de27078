// Max and average pooling with any window, forward and backward.
//
// Compile-time constants: image H, W, C; output OH, OW; window KH, KW; strides SH, SW; padding TOP, LEFT.
//
// Cost: forward reads each window once; backward reads, for each pixel, the windows that contain it.

// Call visit(index in x, k) for each pixel of window ``at`` inside the image; k = i·KW + j is its position there.
template <class Visit>
__device__ void for_pixels(int at, const Visit& visit) {
    int c = at % C, ow = at / C % OW, oh = at / C / OW % OH, n = at / C / OW / OH;
    for (int i = 0; i < KH; i++) {
        for (int j = 0; j < KW; j++) {
            int h = oh * SH + i - TOP, w = ow * SW + j - LEFT;
            if (h >= 0 && h < H && w >= 0 && w < W) visit(((n * H + h) * W + w) * C + c, i * KW + j);
        }
    }
}

// The first window along one axis that contains position p of the padded image.
__device__ int first_window(int p, int size, int stride) { return p < size ? 0 : (p - size) / stride + 1; }

// Call visit(index in y, k) for each window that contains pixel ``at``, at position k.
template <class Visit>
__device__ void for_windows(int at, const Visit& visit) {
    int c = at % C, w = at / C % W + LEFT, h = at / C / W % H + TOP, n = at / C / W / H;
    for (int oh = first_window(h, KH, SH); oh < OH && oh * SH <= h; oh++)
        for (int ow = first_window(w, KW, SW); ow < OW && ow * SW <= w; ow++)
            visit(((n * OH + oh) * OW + ow) * C + c, (h - oh * SH) * KW + w - ow * SW);
}

// The number of pixels of window ``at`` inside the image.
__device__ float pixels_inside(int at) {
    int left = at / C % OW * SW - LEFT, top = at / C / OW % OH * SH - TOP;
    return (min(top + KH, H) - max(top, 0)) * (min(left + KW, W) - max(left, 0));
}

// x (N, H, W, C) → y (N, OH, OW, C) and switches, the position of each maximum. Ties go to the first pixel; NaN
// beats every number. Grid: size / THREADS, one thread per result, as for all kernels here.
KERNEL max_forward(const float* x, float* y, int* switches, int size) {
    int at = blockIdx.x * THREADS + threadIdx.x, winner = -1;
    if (at >= size) return;
    float best = 0;
    for_pixels(at, [&](int p, int k) {
        float value = x[p];
        if (winner < 0 || value > best || (value != value && best == best)) best = value, winner = k;
    });
    y[at] = best;
    switches[at] = winner;
}

// dy and switches (N, OH, OW, C) → dx (N, H, W, C).
KERNEL max_backward(const float* dy, const int* switches, float* dx, int size) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= size) return;
    float sum = 0;
    for_windows(at, [&](int q, int k) { sum += switches[q] == k ? dy[q] : 0; });
    dx[at] = sum;
}

// x (N, H, W, C) → y (N, OH, OW, C): the mean over the pixels inside the image.
KERNEL avg_forward(const float* x, float* y, int size) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= size) return;
    float sum = 0;
    for_pixels(at, [&](int p, int) { sum += x[p]; });
    y[at] = sum / pixels_inside(at);
}

// dy (N, OH, OW, C) → dx (N, H, W, C).
KERNEL avg_backward(const float* dy, float* dx, int size) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= size) return;
    float sum = 0;
    for_windows(at, [&](int q, int) { sum += dy[q] / pixels_inside(q); });
    dx[at] = sum;
}
