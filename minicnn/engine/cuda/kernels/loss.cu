// Softmax cross-entropy, its gradient, and the totals of loss and correct predictions. After step.cu.
//
//     loss = −Σ_k t[k] · log p[k]        dlogits = (p − t) / N        p = softmax(logits)
//     t[k] = (1 − smoothing) · [k = label] + smoothing / K
//
// Cost: 2·N·K numbers read and written; a single block, since a second launch would take longer.

// logits and dlogits (N, K), labels (N). Grid: 1.
KERNEL softmax_cross_entropy(const float* logits, const int* labels, float* dlogits, Totals* totals, float smoothing,
                             int N, int K) {
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
    loss = block_sum(loss);
    correct = block_sum(correct);
    if (threadIdx.x != 0 || totals->broken) return;
    if (!isfinite(loss)) {
        totals->broken = 1;
        return;
    }
    totals->loss += loss;
    totals->correct += correct;
}
