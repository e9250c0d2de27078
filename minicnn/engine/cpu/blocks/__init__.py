"""The blocks of the fused engine: layers that are computed together."""

import math

from minicnn.engine import fusion
from minicnn.engine.audit import kind
from minicnn.engine.cpu.blocks.base import Block, Stage, contiguous, zeros
from minicnn.engine.cpu.blocks.conv import MOST_CELLS, ConvBlock
from minicnn.engine.cpu.blocks.dense import DenseBlock
from minicnn.engine.cpu.blocks.fallback import FallbackBlock
from minicnn.engine.cpu.blocks.norm import NormBlock
from minicnn.layers import BatchNorm, Conv2D, Dense, Layer

__all__ = ["Block", "Stage", "contiguous", "make_blocks", "zeros"]

BLOCKS: dict[type[Layer], type[Block]] = {Conv2D: ConvBlock, BatchNorm: NormBlock, Dense: DenseBlock}
"""The layers with a fast block; all others get a ``FallbackBlock``."""


def make_blocks(layers: list[Layer], parts: int) -> list[Block]:
    """Return the blocks of a model's layers, with ``parts`` workspaces each."""
    groups = fusion.groups(layers, lambda pool: math.prod(pool.window[0]) <= MOST_CELLS)
    return [BLOCKS.get(kind(group[0]), FallbackBlock)(group, parts) for group in groups]
