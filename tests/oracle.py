"""The oracle: every operation as nested loops over its definition, in float64.

Nothing here is shared with the library. Arrays are NHWC, weights (KH, KW, C, OC), padding
((top, bottom), (left, right)).
"""

from itertools import product
from math import exp, inf, isnan, log, sqrt

import numpy as np


def output_shape(size, kernel, stride, dilation, padding):
    """Count the positions at which the window lies inside the padded image, one by one."""
    counts = []
    for n, k, s, d, (before, after) in zip(size, kernel, stride, dilation, padding, strict=True):
        count = 0
        while count * s + (k - 1) * d < before + n + after:
            count += 1
        counts.append(count)
    return tuple(counts)


def pixels(size, o, kernel, stride, dilation, padding):
    """Yield (i, j, h, w) for each pixel of window ``o`` = (oh, ow) that is inside the image."""
    (H, W), (oh, ow) = size, o
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            h = oh * stride[0] + i * dilation[0] - padding[0][0]
            w = ow * stride[1] + j * dilation[1] - padding[1][0]
            if 0 <= h < H and 0 <= w < W:
                yield i, j, h, w


def im2col(x, kernel, stride, dilation, padding):
    N, H, W, C = x.shape
    OH, OW = output_shape((H, W), kernel, stride, dilation, padding)
    cols = np.zeros((N, OH, OW, *kernel, C))
    for n, oh, ow in product(range(N), range(OH), range(OW)):
        for i, j, h, w in pixels((H, W), (oh, ow), kernel, stride, dilation, padding):
            for c in range(C):
                cols[n, oh, ow, i, j, c] = x[n, h, w, c]
    return cols.reshape(N * OH * OW, kernel[0] * kernel[1] * C)


def col2im(cols, x_shape, kernel, stride, dilation, padding):
    N, H, W, C = x_shape
    OH, OW = output_shape((H, W), kernel, stride, dilation, padding)
    cols = cols.reshape(N, OH, OW, *kernel, C)
    dx = np.zeros(x_shape)
    for n, oh, ow in product(range(N), range(OH), range(OW)):
        for i, j, h, w in pixels((H, W), (oh, ow), kernel, stride, dilation, padding):
            for c in range(C):
                dx[n, h, w, c] += cols[n, oh, ow, i, j, c]
    return dx


def conv_forward(x, W, b, stride, dilation, padding):
    N, H, width, C = x.shape
    KH, KW, _, OC = W.shape
    OH, OW = output_shape((H, width), (KH, KW), stride, dilation, padding)
    y = np.zeros((N, OH, OW, OC))
    for n, oh, ow, oc in product(range(N), range(OH), range(OW), range(OC)):
        total = b[oc]
        for i, j, h, w in pixels((H, width), (oh, ow), (KH, KW), stride, dilation, padding):
            for c in range(C):
                total += x[n, h, w, c] * W[i, j, c, oc]
        y[n, oh, ow, oc] = total
    return y


def conv_backward(dy, x, W, stride, dilation, padding):
    """Return dx, dW, db: each product x·W of the forward pass hands its dy to both factors."""
    N, OH, OW, OC = dy.shape
    size, kernel = x.shape[1:3], W.shape[:2]
    dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(OC)
    for n, oh, ow, oc in product(range(N), range(OH), range(OW), range(OC)):
        g = dy[n, oh, ow, oc]
        db[oc] += g
        for i, j, h, w in pixels(size, (oh, ow), kernel, stride, dilation, padding):
            for c in range(x.shape[3]):
                dx[n, h, w, c] += g * W[i, j, c, oc]
                dW[i, j, c, oc] += g * x[n, h, w, c]
    return dx, dW, db


def max_pool_forward(x, kernel, stride, padding):
    """Return y and argmax = i·KW + j. Only pixels of the image compete; first of ties; the first NaN wins."""
    N, H, W, C = x.shape
    OH, OW = output_shape((H, W), kernel, stride, (1, 1), padding)
    y = np.zeros((N, OH, OW, C))
    argmax = np.zeros((N, OH, OW, C), int)
    for n, oh, ow, c in product(range(N), range(OH), range(OW), range(C)):
        best, where = -inf, None
        for i, j, h, w in pixels((H, W), (oh, ow), kernel, stride, (1, 1), padding):
            value = x[n, h, w, c]
            if where is None or value > best or (isnan(value) and not isnan(best)):
                best, where = value, i * kernel[1] + j
        y[n, oh, ow, c], argmax[n, oh, ow, c] = best, where
    return y, argmax


def max_pool_backward(dy, x, kernel, stride, padding):
    _, argmax = max_pool_forward(x, kernel, stride, padding)
    dx = np.zeros(x.shape)
    for n, oh, ow, c in np.ndindex(dy.shape):
        for i, j, h, w in pixels(x.shape[1:3], (oh, ow), kernel, stride, (1, 1), padding):
            if argmax[n, oh, ow, c] == i * kernel[1] + j:
                dx[n, h, w, c] += dy[n, oh, ow, c]
    return dx


def avg_pool_forward(x, kernel, stride, padding):
    N, H, W, C = x.shape
    OH, OW = output_shape((H, W), kernel, stride, (1, 1), padding)
    y = np.zeros((N, OH, OW, C))
    for n, oh, ow, c in np.ndindex(y.shape):
        inside = list(pixels((H, W), (oh, ow), kernel, stride, (1, 1), padding))
        y[n, oh, ow, c] = sum(float(x[n, h, w, c]) for _, _, h, w in inside) / len(inside)
    return y


def avg_pool_backward(dy, x_shape, kernel, stride, padding):
    dx = np.zeros(x_shape)
    for n, oh, ow, c in np.ndindex(dy.shape):
        inside = list(pixels(x_shape[1:3], (oh, ow), kernel, stride, (1, 1), padding))
        for _, _, h, w in inside:
            dx[n, h, w, c] += dy[n, oh, ow, c] / len(inside)
    return dx


def dense_forward(x, W, b):
    (N, D), U = x.shape, W.shape[1]
    y = np.zeros((N, U))
    for n, u in np.ndindex(N, U):
        y[n, u] = b[u] + sum(x[n, d] * W[d, u] for d in range(D))
    return y


def dense_backward(dy, x, W):
    """Return dx, dW, db."""
    dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(W.shape[1])
    for n, u in np.ndindex(dy.shape):
        db[u] += dy[n, u]
        for d in range(x.shape[1]):
            dx[n, d] += dy[n, u] * W[d, u]
            dW[d, u] += dy[n, u] * x[n, d]
    return dx, dW, db


def batchnorm_statistics(x):
    """Return mean and variance (divided by M) of each channel, the last axis."""
    C = x.shape[-1]
    columns = [[float(x[index]) for index in np.ndindex(x.shape) if index[-1] == c] for c in range(C)]
    mean = [sum(column) / len(column) for column in columns]
    var = [sum((v - m) ** 2 for v in column) / len(column) for column, m in zip(columns, mean, strict=True)]
    return np.array(mean), np.array(var)


def batchnorm_forward(x, gamma, beta, mean, var, epsilon):
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        c = index[-1]
        y[index] = gamma[c] * (x[index] - mean[c]) / sqrt(var[c] + epsilon) + beta[c]
    return y


def batchnorm_backward(dy, x, gamma, epsilon):
    """Return dx, dgamma, dbeta, by the whole Jacobian of x̂ with respect to x, one channel at a time.

    ∂x̂ₐ/∂x_b = (δ_ab − 1/M)/s − (xₐ − μ)(x_b − μ)/(M·s³), s = √(σ² + ε): quotient rule.
    """
    mean, var = batchnorm_statistics(x)
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(len(gamma)), np.zeros(len(gamma))
    for c in range(len(gamma)):
        indices = [index for index in np.ndindex(x.shape) if index[-1] == c]
        M, s = len(indices), sqrt(var[c] + epsilon)
        for a in indices:
            dbeta[c] += dy[a]
            dgamma[c] += dy[a] * (x[a] - mean[c]) / s
            for b in indices:
                jacobian = ((a == b) - 1 / M) / s - (x[a] - mean[c]) * (x[b] - mean[c]) / (M * s**3)
                dx[b] += gamma[c] * dy[a] * jacobian
    return dx, dgamma, dbeta


def softmax_cross_entropy(logits, target):
    """Return the mean over the rows of −Σ t·log p, and its gradient (p − t) / N; ``target`` is (N, K)."""
    N, K = logits.shape
    loss, dlogits = 0.0, np.zeros((N, K))
    for n in range(N):
        total = sum(exp(logits[n, k]) for k in range(K))
        for k in range(K):
            p = exp(logits[n, k]) / total
            loss -= target[n, k] * log(p) / N
            dlogits[n, k] = (p - target[n, k]) / N
    return loss, dlogits


def numerical_gradient(f, x, step=1e-5):
    """Return the gradient of the number f() with respect to ``x``, which f reads: central differences."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = f()
        x[index] = kept - step
        below = f()
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient
