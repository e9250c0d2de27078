// Softmax cross-entropy and its gradient from the logits, and what the history is made of. Behind records.cu.
//
//     loss = −Σ_k t[k] · log p[k]        dlogits = (p − t) / N        p = softmax(logits)
//     t[k] = (1 − smoothing) · [k = label] + smoothing / K
//
// Floor: 2·N·K numbers read and written; one block, since a launch takes longer than that.

const int THREADS = 256;

// logits and dlogits (N, K), labels (N). Grid: 1.
extern "C" __global__ void __launch_bounds__(THREADS)
softmax_cross_entropy(const float* logits, const int* labels, float* dlogits, Totals* totals, float smoothing, int N,
                      int K) {
    __shared__ double loss_of[THREADS];
    __shared__ int correct_of[THREADS];
    const float share = smoothing / K, scale = 1.0f / N;
    double loss = 0;
    int correct = 0;
    for (int n = threadIdx.x; n < N; n += THREADS) {
        const float* z = logits + n * K;
        int best = 0;
        for (int k = 1; k < K; k++)
            if (z[k] > z[best]) best = k;
        float sum = 0, row_loss = 0;
        for (int k = 0; k < K; k++) sum += expf(z[k] - z[best]);
        float log_sum = logf(sum);
        for (int k = 0; k < K; k++) {
            float t = (k == labels[n] ? 1 - smoothing : 0) + share;
            float log_p = z[k] - z[best] - log_sum;
            if (t > 0) row_loss -= t * log_p;
            dlogits[n * K + k] = (expf(log_p) - t) * scale;
        }
        loss += row_loss;
        correct += best == labels[n];
    }
    loss_of[threadIdx.x] = loss;
    correct_of[threadIdx.x] = correct;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            loss_of[threadIdx.x] += loss_of[threadIdx.x + half];
            correct_of[threadIdx.x] += correct_of[threadIdx.x + half];
        }
    }
    if (threadIdx.x != 0 || totals->broken) return;
    if (!isfinite(loss_of[0])) {
        totals->broken = 1;
        return;
    }
    totals->loss += loss_of[0];
    totals->correct += correct_of[0];
}
