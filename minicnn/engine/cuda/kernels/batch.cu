// A batch from the data set, which lies on the device as it is stored: gathered, augmented, scaled. Behind records.cu.
//
// IMAGE is what a pixel is stored as, unsigned char or float; H, W, C are constants of the compilation, and
// so are FLIP (1: half of the images are mirrored), SHIFT (by how many pixels an image is moved at most, in
// each direction) and ERASE (how many of 2²⁴ images lose a rectangle). What comes in at the border and what is
// erased is 0, as stored.
//
// Floor: each pixel is read and written once; few operations go with that.

// The side of an erased rectangle on an image of that size, as in data/augment.py.
__device__ int side(unsigned random, int size) {
    int least = size < 8 ? 1 : size / 8, most = size < 2 ? 1 : size / 2;
    return least + (int)(random % (most - least + 1));
}

// images (…, H, W, C) and labels (…) → x (N, H, W, C) = pixel · scale − mean, and y (N): those of ``rows`` (N).
// Grid: N, a block for each image.
extern "C" __global__ void gather(const IMAGE* images, const int* labels, const int* rows, const Step* step,
                                  float scale, float mean, float* x, int* y) {
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
    for (int i = threadIdx.x; i < H * W * C; i += blockDim.x) {
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
