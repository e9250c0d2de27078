"""The engines: how a training step or a prediction is executed."""

from minicnn.engine.select import ENGINES, make_engine

__all__ = ["ENGINES", "make_engine"]
