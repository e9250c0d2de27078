"""Softmax cross-entropy, its gradient and the number of correct predictions, in one pass.

log p[k] = z[k] − max z − log Σ exp(z − max z)        dz[k] = (p[k] − t[k]) / N
"""

import numpy as np

from minicnn.runtime.compiled import compiled


@compiled
def softmax_cross_entropy(logits, labels, first, last, N, K, smoothing, dlogits):
    """Compute rows ``first`` to ``last`` of dlogits = (softmax − target) / N.

    Returns the sum of the rows' losses and the number of correct predictions.
    """
    total, correct = 0.0, 0
    off_target = np.float32(smoothing / K)
    on_target = np.float32(1 - smoothing) + off_target
    for n in range(first, last):
        at = n * K
        largest = 0
        for k in range(1, K):
            if logits[at + k] > logits[at + largest]:
                largest = k
        correct += largest == labels[n]
        peak = logits[at + largest]
        exponentials = np.float32(0)
        for k in range(K):
            exponentials += np.exp(logits[at + k] - peak)
        log_sum = np.log(exponentials)
        for k in range(K):
            log_p = (logits[at + k] - peak) - log_sum
            target = on_target if k == labels[n] else off_target
            if target > 0:
                total -= target * log_p
            dlogits[at + k] = (np.exp(log_p) - target) / np.float32(N)
    return total, correct
