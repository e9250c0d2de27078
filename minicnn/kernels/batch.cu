// A batch from the data set, which lies on the device as it is stored: gathered, augmented, scaled. Behind records.cu.
//
// IMAGE is what a pixel is stored as, unsigned char or float; H, W, C are constants of the compilation, and
// so are FLIP (1: half of the images are mirrored) and SHIFT (by how many pixels an image is moved at most, in
// each direction; what comes in at the border is 0, as stored).
//
// Floor: each pixel is read and written once; few operations go with that.

// images (…, H, W, C) and labels (…) → x (N, H, W, C) = pixel · scale − mean, and y (N): those of ``rows`` (N).
// Grid: N, a block for each image.
extern "C" __global__ void gather(const IMAGE* images, const int* labels, const int* rows, const Step* step,
                                  float scale, float mean, float* x, int* y) {
    int n = blockIdx.x, row = rows[n];
    unsigned random = random_bits(step->draw, n);
    bool mirrored = FLIP && (random & 1);
    int down = (int)((random >> 1) & 0x7fff) % (2 * SHIFT + 1) - SHIFT;
    int right = (int)(random >> 16) % (2 * SHIFT + 1) - SHIFT;
    const IMAGE* image = images + (long long)row * H * W * C;
    for (int i = threadIdx.x; i < H * W * C; i += blockDim.x) {
        int c = i % C, w = i / C % W - right, h = i / C / W - down;
        bool inside = w >= 0 && w < W && h >= 0 && h < H;
        if (mirrored) w = W - 1 - w;
        float pixel = inside ? (float)image[(h * W + w) * C + c] : 0;
        x[(long long)n * H * W * C + i] = pixel * scale - mean;
    }
    if (threadIdx.x == 0) y[n] = labels[row];
}
