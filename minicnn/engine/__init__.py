"""How one training step, or one prediction, is executed."""

from minicnn import ops
from minicnn.engine.base import Engine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import ConfigError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer
from minicnn.runtime.loading import load

ENGINES = ("auto", "layerwise", "fused", "cuda_graph")


def make_engine(name: str, model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> Engine:
    """Return the engine called ``name``; ``"auto"`` is the fastest that can compute the model.

    That is the fused one for float32 models on the CPU, the captured one (``cuda_graph``) for those on a
    GPU. Made inside ``with ops.use("reference")`` it is the layerwise one, whose kernels that switch
    chooses.

    Raises
    ------
    ConfigError
        If there is no engine of that name, or it cannot compute the model.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
    # Imported where they are needed, as loading the compiled kernels takes a while.
    if name == "auto":
        name = _fastest(model, loss, optimizer)
    if name == "fused":
        load("minicnn.engine.cpu.kernels.gemm")
        from minicnn.engine.cpu.engine import FusedEngine

        return FusedEngine(model, loss, optimizer)
    if name == "cuda_graph":
        from minicnn.engine.cuda.engine import CudaGraphEngine

        return CudaGraphEngine(model, loss, optimizer)
    return LayerwiseEngine(model, loss, optimizer)


def _fastest(model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> str:
    if ops.active() != "cpu":
        return "layerwise"
    if model.device == "cuda":
        from minicnn.engine.cuda.engine import knows

        return "cuda_graph" if knows(model, loss, optimizer) else "layerwise"
    load("minicnn.engine.cpu.kernels.gemm")
    from minicnn.engine.cpu.network import supports

    return "fused" if supports(model) else "layerwise"
