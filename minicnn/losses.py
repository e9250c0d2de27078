"""Softmax cross-entropy, from logits."""

import numpy as np

from minicnn import advice
from minicnn.backend import Array, array_module, device_of, ignore_underflow, to_device
from minicnn.checks import number
from minicnn.errors import DataError, DTypeError, ShapeError, StateError
from minicnn.hints import Hinted, module_names


@ignore_underflow
def log_softmax(logits: Array) -> Array:
    """Return zᵢ − log Σⱼ exp(zⱼ) for each row, (N, K) → (N, K); no exponential overflows."""
    xp = array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


@ignore_underflow
def softmax(logits: Array) -> Array:
    """Return exp(zᵢ) / Σⱼ exp(zⱼ) for each row, (N, K) → (N, K)."""
    return array_module(logits).exp(log_softmax(logits))


class SoftmaxCrossEntropy(Hinted):
    """The mean over the batch of −Σᵢ tᵢ · log softmax(z)ᵢ, with logits z and target t.

    The gradient with respect to the logits is (softmax(z) − t) / N. Nothing else divides by the batch size.

    Parameters
    ----------
    label_smoothing : float
        α, at least 0 and below 1: the target becomes (1 − α)·t + α / K.

    Raises
    ------
    ConfigError
        If ``label_smoothing`` is out of range.

    Notes
    -----
    Sources: Bishop 2006, "Pattern Recognition and Machine Learning", section 4.3.4; label
    smoothing: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing
        self._cache: tuple[Array, Array] | None = None

    @property
    def label_smoothing(self) -> float:
        """α, checked whenever it is set."""
        return self._label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self._label_smoothing = number(value, "label_smoothing", "[0, 1)")

    def __call__(self, logits: Array, targets: Array) -> float:
        """Return the mean loss of the batch, without saving anything for ``backward``: see ``forward``."""
        return self._value(*self._log_p_and_target(logits, targets))

    def forward(self, logits: Array, targets: Array) -> float:
        """Return the mean loss of the batch, and save the values for ``backward``.

        Parameters
        ----------
        logits : (N, K), floating
        targets : (N,) integer labels, or (N, K) class probabilities
            Each row sums to 1 up to rounding: K + 4 times the larger machine epsilon of the two dtypes.

        Raises
        ------
        ShapeError, DTypeError, DataError
            If the shapes do not match, a label is not in 0 … K − 1, or a row is not a distribution.
        """
        self._cache = self._log_p_and_target(logits, targets)
        return self._value(*self._cache)

    @ignore_underflow
    def backward(self) -> Array:
        """Return the gradient with respect to the logits, (softmax(z) − t) / N, shape (N, K).

        Raises
        ------
        StateError
            If ``forward`` has not been called since the last ``backward``.
        """
        if self._cache is None:
            raise StateError("loss: backward without a forward; call forward(logits, targets) first")
        (log_p, t), self._cache = self._cache, None
        return (array_module(log_p).exp(log_p) - t) / len(log_p)

    def _log_p_and_target(self, logits: Array, targets: Array) -> tuple[Array, Array]:
        """Return log softmax(z) and the smoothed target, both (N, K)."""
        for array in (logits, targets):
            array_module(array)  # raises for lists
        if logits.ndim != 2 or logits.size == 0:
            raise ShapeError(f"expected logits of shape (N ≥ 1, K ≥ 1), got {logits.shape}")
        if logits.dtype.kind != "f":
            raise DTypeError(f"expected floating logits, got {logits.dtype}")
        t = _as_probabilities(targets, logits)
        if self.label_smoothing > 0:
            t = (1 - self.label_smoothing) * t + self.label_smoothing / t.shape[1]
        return log_softmax(logits), t

    @ignore_underflow
    def _value(self, log_p: Array, t: Array) -> float:
        # Ignore classes with target 0, whose logit may be −∞.
        counted = array_module(log_p).where(t > 0, log_p, 0)
        # Not −x, which would be −0.0 for a loss of 0.
        return 0.0 - float((t * counted).sum() / len(log_p))


def check_labels(labels: Array, K: int) -> None:
    """Raise DTypeError or DataError if labels are not whole numbers from 0 to K − 1."""
    if not np.issubdtype(labels.dtype, np.integer):
        line = advice.label_line(labels, len(labels)) if isinstance(labels, np.ndarray) else ""
        raise DTypeError(
            f"expected integer labels or (N, K) probabilities, got {labels.dtype} labels{advice.ending(line)}"
        )
    if labels.min() < 0 or labels.max() >= K:
        raise DataError(
            f"labels must be in 0 … {K - 1}, as the logits have {K} columns; got labels from "
            f"{int(labels.min())} to {int(labels.max())}{advice.ending(advice.counting_line(labels, K))}"
        )


@ignore_underflow
def _as_probabilities(targets: Array, logits: Array) -> Array:
    """Return the targets as (N, K) class probabilities in the logits' dtype, on their device."""
    N, K = logits.shape
    if targets.shape == (N,):
        check_labels(targets, K)
        xp = array_module(logits)
        labels = to_device(targets, device_of(logits))
        return (labels[:, None] == xp.arange(K)).astype(logits.dtype)
    if targets.shape != (N, K):
        raise ShapeError(
            f"logits are {logits.shape}: expected labels of shape ({N},) or probabilities of shape "
            f"({N}, {K}), got {targets.shape}"
        )
    _check_probabilities(targets, logits.dtype)
    return to_device(targets, device_of(logits)).astype(logits.dtype)


def _check_probabilities(p: Array, dtype: np.dtype) -> None:
    """Check that each row of p, (N, K), is a distribution, up to the rounding of its dtype and ``dtype``."""
    if p.dtype.kind not in "biuf":
        raise DTypeError(f"expected class probabilities as numbers, got {p.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        sums = p.sum(axis=1, dtype=np.float64)
    eps = max(np.finfo(kind).eps for kind in (dtype, p.dtype) if kind.kind == "f")
    # K roundings of the division by the sum; 4 more for the exponentials of a softmax.
    exact = abs(sums - 1) <= (p.shape[1] + 4) * eps
    if not (exact & (p >= 0).all(axis=1)).all():
        raise DataError(_problem(p, sums, exact))


def _problem(p: Array, sums: Array, exact: Array) -> str:
    """Describe the first row that is not a distribution, and the remedy."""
    xp = array_module(p)
    broken, negative = ~xp.isfinite(sums), (p < 0).any(axis=1)
    if broken.any():
        row = int(broken.argmax())
        problem = "its sum is NaN or infinite: remove the row, or correct its probabilities"
    elif negative.any():
        row = int(negative.argmax())
        problem = (
            f"its smallest is {float(p[row].min()):.6g}, expected at least 0: if these are logits, pass "
            "losses.softmax(targets)"
        )
    elif (sums == 0).any():
        row = int((sums == 0).argmax())
        problem = "all are 0: remove such rows, or correct their probabilities"
    else:
        row = int(exact.argmin())
        problem = (
            f"its sum is {float(sums[row]):.10g}, expected 1 to rounding: pass "
            'targets / targets.sum(axis=1, keepdims=True, dtype="float64")'
        )
    return f"row {row} of the class probabilities: {problem}"


__getattr__ = module_names(__name__)
