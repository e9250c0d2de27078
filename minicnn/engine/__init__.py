"""How one training step, or one prediction, is executed."""

from typing import TYPE_CHECKING, Union

from minicnn import kernels
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import ConfigError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer

if TYPE_CHECKING:
    from minicnn.engine.fused import FusedEngine

ENGINES = ("auto", "layerwise", "fused")


def make_engine(
    name: str, model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Optimizer
) -> Union[LayerwiseEngine, "FusedEngine"]:
    """Return the engine called ``name``; ``"auto"`` is the fused one wherever it can be used.

    That is for float32 models on the CPU. Made inside ``with kernels.use("reference")`` it is the
    layerwise one, whose kernels that switch chooses.

    Raises
    ------
    ConfigError
        If there is no engine of that name, or the fused one cannot compute the model.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
    if name == "layerwise":
        return LayerwiseEngine(model, loss, optimizer)
    # Imported where they are needed, as loading the compiled kernels takes a while.
    from minicnn.engine.fused import FusedEngine
    from minicnn.engine.network import supports

    if name == "auto" and not (supports(model) and kernels.active() == "cpu"):
        return LayerwiseEngine(model, loss, optimizer)
    return FusedEngine(model, loss, optimizer)
