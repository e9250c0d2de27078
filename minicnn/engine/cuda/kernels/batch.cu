// Gather, augment and scale a batch of the stored data set. After step.cu.
//
// Compile-time constants: IMAGE, the type of a stored pixel, unsigned char or float; H, W, C; FLIP, 1 to mirror
// half of the images; SHIFT, the largest shift in pixels along each axis; ERASE, how many of 2²⁴ images get an
// erased rectangle. Padding and erased pixels are 0, as stored.
//
// Cost: each pixel is read and written once.

// The side of the erased rectangle along an axis of ``size`` pixels, as in data/augment.py.
__device__ int side(unsigned random, int size) {
    int least = size < 8 ? 1 : size / 8, most = size < 2 ? 1 : size / 2;
    return least + (int)(random % (most - least + 1));
}

// images (…, H, W, C), labels (…) and rows (N) → x (N, H, W, C) = pixel · scale − mean, and y (N).
// Grid: N, one block per image.
KERNEL gather(const IMAGE* images, const int* labels, const int* rows, const Step* step, float scale, float mean,
              float* x, int* y) {
    int n = blockIdx.x, row = rows[n];
    unsigned random = random_bits(step->draw, n);
    bool mirrored = FLIP && (random & 1);
    int down = (int)((random >> 1) & 0x7fff) % (2 * SHIFT + 1) - SHIFT;
    int right = (int)(random >> 16) % (2 * SHIFT + 1) - SHIFT;
    bool erases = (int)(random_bits(random, 1) >> 8) < ERASE;
    int tall = side(random_bits(random, 2), H), wide = side(random_bits(random, 3), W);
    int top = (int)(random_bits(random, 4) % (H - tall + 1));
    int left = (int)(random_bits(random, 5) % (W - wide + 1));
    const IMAGE* image = images + (long long)row * H * W * C;
    for (int i = threadIdx.x; i < H * W * C; i += THREADS) {
        int c = i % C, w = i / C % W, h = i / C / W;
        bool erased = erases && h >= top && h < top + tall && w >= left && w < left + wide;
        h -= down, w -= right;
        bool inside = w >= 0 && w < W && h >= 0 && h < H;
        if (mirrored) w = W - 1 - w;
        float pixel = inside && !erased ? (float)image[(h * W + w) * C + c] : 0;
        x[(long long)n * H * W * C + i] = pixel * scale - mean;
    }
    if (threadIdx.x == 0) y[n] = labels[row];
}
