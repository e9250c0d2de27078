"""Batch normalization."""

import math

import numpy as np

from minicnn import ops
from minicnn.backend import Array, array_module
from minicnn.checks import number
from minicnn.layers.base import Layer, Shape, in_panels
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense


class BatchNorm(Layer):
    """Normalize each channel over the batch (and the image), then scale and shift it.

    In training, with μ and σ² over all M = N·H·W values of a channel (σ² divides by M)::

        x̂ = (x − μ) / √(σ² + ε)        y = γ·x̂ + β

        dγ = Σ dy·x̂    dβ = Σ dy    dx = γ / √(σ² + ε) · (dy − dβ / M − x̂·dγ / M)

    μ and σ² depend on every x, hence the two means subtracted in dx. Prediction uses running averages:
    running ← momentum·running + (1 − momentum)·batch. The running variance averages σ² divided by M, as
    in Keras (the paper's algorithm 2 and PyTorch divide by M − 1). With M = 1 there is no variance: y = β,
    dx = 0 and the running averages do not change. ``Trainer.fit`` avoids such batches: see
    ``smallest_batch``.

    Parameters
    ----------
    momentum : float
        Of the running averages, at least 0 and below 1.
    epsilon : float
        ε, above 0.

    Raises
    ------
    ConfigError
        If ``momentum`` or ``epsilon`` is not in its range.

    Notes
    -----
    Shapes: x and y (N, H, W, C) or (N, C); γ (``gamma``), β (``beta``) and the running averages (C,).

    Source: Ioffe & Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", algorithm 1 and section 3.
    """

    tunable = ("momentum", "epsilon")

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = number(momentum, "momentum", "[0, 1)")
        self.epsilon = number(epsilon, "epsilon", "(0, ∞)")

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return γ and β, (C,)."""
        return {"gamma": input_shape[-1:], "beta": input_shape[-1:]}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the running mean and variance, (C,)."""
        return {"running_mean": input_shape[-1:], "running_var": input_shape[-1:]}

    def smallest_batch(self) -> int:
        """Return 2 if a sample has a single value per channel, else 1."""
        return 2 if math.prod(self.input_shape[:-1]) == 1 else 1

    def workspace(self, input_shape: Shape) -> int:
        """Return the size of x − μ and x̂, and of y in panels."""
        return math.prod(input_shape[:-1]) * (2 * input_shape[-1] + in_panels(input_shape[-1]))

    def _build(self, input_shape: Shape, rng: np.random.Generator) -> None:
        C = input_shape[-1]
        self.params = {"gamma": np.ones(C, self.dtype), "beta": np.zeros(C, self.dtype)}
        self.state = {"running_mean": np.zeros(C, self.dtype), "running_var": np.ones(C, self.dtype)}

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute γ·x̂ + β, with the batch's statistics in training, else the running averages."""
        self._check(x)
        rows = x.reshape(-1, x.shape[-1])  # (M, C)
        if training:
            sum_rows, M = ops.of(x).sum_rows, len(rows)
            mean = sum_rows(rows) / M  # (C,)
            centered = rows - mean  # (M, C)
            var = sum_rows(centered * centered) / M  # (C,)
            if M > 1:
                self.update_running(mean, var)
        else:
            centered, var = rows - self.state["running_mean"], self.state["running_var"]
        inv_std = 1 / array_module(x).sqrt(var + self.epsilon)  # (C,)
        x_hat = centered * inv_std  # (M, C)
        if training:
            self._save_for_backward(x, x_hat, inv_std)
        return (self.params["gamma"] * x_hat + self.params["beta"]).reshape(x.shape)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Assign dγ and dβ; return dx."""
        x_hat, inv_std = self._saved(dy)
        rows = dy.reshape(x_hat.shape)  # (M, C)
        sum_rows, M = ops.of(dy).sum_rows, len(rows)
        dbeta = self.grads["beta"] = sum_rows(rows)  # (C,)
        dgamma = self.grads["gamma"] = sum_rows(rows * x_hat)  # (C,)
        if not need_dx:
            return None
        dx = (self.params["gamma"] * inv_std) * (rows - dbeta / M - x_hat * (dgamma / M))
        return dx.reshape(dy.shape)

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [("images", cls(), (4, 3, 2)), ("vectors", cls(), (6,))]

    def for_inference(self) -> tuple[Layer, dict[str, Array]]:
        """Return a 1×1 convolution or a Dense layer: y = s·x + (β − s·mean), s = γ / √(var + ε)."""
        C = self.input_shape[-1]
        gamma, beta = (self.params[name].astype(np.float64) for name in ("gamma", "beta"))
        mean, var = (self.state[name].astype(np.float64) for name in ("running_mean", "running_var"))
        scale = gamma / array_module(var).sqrt(var + self.epsilon)  # (C,)
        shift = beta - mean * scale  # (C,)
        W = array_module(scale).diag(scale)  # (C, C)
        if len(self.input_shape) == 1:
            return Dense(C), {"W": W, "b": shift}
        return Conv2D(C, 1), {"W": W[None, None], "b": shift}

    def update_running(self, mean: Array, var: Array) -> None:
        """Update the running averages with a batch's mean and variance, (C,) each."""
        for name, batch in (("running_mean", mean), ("running_var", var)):
            self.state[name] = self.momentum * self.state[name] + (1 - self.momentum) * batch
