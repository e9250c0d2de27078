"""How one training step, or one prediction, is executed."""

from minicnn.engine.select import ENGINES, make_engine

__all__ = ["ENGINES", "make_engine"]
