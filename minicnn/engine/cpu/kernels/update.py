"""The optimizers' formulas, in one pass over each parameter.

    SGD    v ← μ·v + g        w ← w − η·v
    Adam   m ← m + (1 − β₁)·(g − m)    s ← s + (1 − β₂)·(g² − s)    w ← w − η·m̂ / (√ŝ + ε)

See ``minicnn.optimizers`` for the letters and the variants; ``numbers`` is ``SGDNumbers`` or ``AdamNumbers``.
g is multiplied by ``clip``, which is 1 unless the norm of all gradients is clipped.
"""

import numpy as np

from minicnn.runtime.compiled import compiled

_LANES = 64  # independent sums: a single one would wait for each addition


@compiled
def square_sum(g, first, last):
    """Return the sum of the squares of g[first:last], in float64."""
    sums = np.zeros(_LANES)
    rest = 0.0
    whole = first + (last - first) // _LANES * _LANES
    for k in range(first, whole, _LANES):
        row = g[k : k + _LANES]
        for i in range(_LANES):
            value = np.float64(row[i])
            sums[i] += value * value
    for k in range(whole, last):
        value = np.float64(g[k])
        rest += value * value
    return sums.sum() + rest


@compiled
def sgd(w, g, v, first, last, numbers, decay, clip):
    """Update w[first:last] by SGD; v is its velocity, empty without momentum."""
    shrink = np.float32(1 - numbers.learning_rate * decay if numbers.decoupled else 1)
    pull = np.float32(0 if numbers.decoupled else decay)
    rate, momentum, clip = np.float32(numbers.learning_rate), np.float32(numbers.momentum), np.float32(clip)
    # Slices, as Numba's check for negative indices prevents vectorization.
    w, g, v = w[first:last], g[first:last], v[first:last]
    if momentum == 0:
        for k in range(len(w)):
            w[k] = w[k] * shrink - rate * (clip * g[k] + pull * w[k])
    elif numbers.nesterov:
        for k in range(len(w)):
            slope = clip * g[k] + pull * w[k]
            v[k] = momentum * v[k] + slope
            w[k] = w[k] * shrink - rate * (slope + momentum * v[k])
    else:
        for k in range(len(w)):
            v[k] = momentum * v[k] + (clip * g[k] + pull * w[k])
            w[k] = w[k] * shrink - rate * v[k]


@compiled
def adam(w, g, m, s, first, last, numbers, decay, clip):
    """Update w[first:last] by Adam; m and s are its moments."""
    shrink = np.float32(1 - numbers.learning_rate * decay if numbers.decoupled else 1)
    pull = np.float32(0 if numbers.decoupled else decay)
    rest_1, rest_2 = np.float32(numbers.rest_1), np.float32(numbers.rest_2)
    scale_1, scale_2 = np.float32(numbers.correction_1), np.float32(numbers.correction_2)
    rate, epsilon, clip = np.float32(numbers.learning_rate), np.float32(numbers.epsilon), np.float32(clip)
    w, g, m, s = w[first:last], g[first:last], m[first:last], s[first:last]
    for k in range(len(w)):
        slope = clip * g[k] + pull * w[k]
        m[k] += rest_1 * (slope - m[k])
        s[k] += rest_2 * (slope * slope - s[k])
        w[k] = w[k] * shrink - rate * ((m[k] / scale_1) / (np.sqrt(s[k] / scale_2) + epsilon))
