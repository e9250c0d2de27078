// ReLU, LeakyReLU and dropout, unless another kernel includes them. After step.cu.
//
// Cost: each number is read and written once.

// slope·x, but 0 for slope 0 even if x is infinite: ReLU is LeakyReLU with slope 0.
__device__ float scaled(float slope, float x) { return slope == 0 ? 0 : slope * x; }

// y = x where x > 0, else slope·x; NaN stays NaN. Grid: size / THREADS, as in all of these.
KERNEL leaky_relu_forward(const float* x, float* y, float slope, int size) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < size) y[i] = x[i] <= 0 ? scaled(slope, x[i]) : x[i];
}

// dx = dy where x > 0, else slope·dy.
KERNEL leaky_relu_backward(const float* dy, const float* x, float* dx, float slope, int size) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < size) dx[i] = x[i] > 0 ? dy[i] : scaled(slope, dy[i]);
}

// y = m·x, where m is 0 with probability ``rate``, else 1 / (1 − rate). The mask is not stored: the backward pass
// draws it again from the step's random number and the layer's ``salt``.
KERNEL dropout(const float* x, float* y, const Step* step, unsigned salt, float rate, int size) {
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= size) return;
    float uniform = (random_bits(random_bits(step->draw, salt), i) >> 8) * (1.0f / (1 << 24));
    y[i] = uniform < rate ? 0 : x[i] / (1 - rate);
}
