// Layers that compute every number on its own. Behind records.cu.
//
// Floor: each number is read and written once.

const int THREADS = 256;

__device__ int index() { return blockIdx.x * THREADS + threadIdx.x; }

// y = x where x > 0, else slope·x. Grid: size / THREADS, as for all of these.
extern "C" __global__ void __launch_bounds__(THREADS) leaky_forward(const float* x, float* y, float slope, int size) {
    int i = index();
    if (i < size) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

// dx = dy where x > 0, else slope·dy.
extern "C" __global__ void __launch_bounds__(THREADS)
leaky_backward(const float* dy, const float* x, float* dx, float slope, int size) {
    int i = index();
    if (i < size) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
}

// y = m·x, where m is 0 with probability ``rate``, else ``scale``. The mask is drawn anew where it is needed:
// the same step and ``salt``, a number of the layer, give the same one, forward and back.
extern "C" __global__ void __launch_bounds__(THREADS)
dropout(const float* x, float* y, const Step* step, unsigned salt, float rate, float scale, int size) {
    int i = index();
    if (i >= size) return;
    float uniform = (random_bits(random_bits(step->draw, salt), i) >> 8) * (1.0f / (1 << 24));
    y[i] = uniform < rate ? 0 : scale * x[i];
}
