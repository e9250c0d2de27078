"""The blocks that the fused engine cuts a model into, and the cutting."""

import math

from minicnn.engine.audit import kind
from minicnn.engine.cpu.blocks.base import Block, Stage, laid_out, zeros
from minicnn.engine.cpu.blocks.conv import MOST_CELLS, POOLS, ConvBlock
from minicnn.engine.cpu.blocks.dense import DenseBlock
from minicnn.engine.cpu.blocks.norm import NormBlock
from minicnn.engine.cpu.blocks.fallback import FallbackBlock
from minicnn.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU

__all__ = ["Block", "ConvBlock", "DenseBlock", "FallbackBlock", "NormBlock", "Stage", "cut", "laid_out", "zeros"]

# What a block may begin with, and what it then takes along: a ReLU and a pool at most once, in any order.
_BLOCKS = {
    Conv2D: (ConvBlock, (ReLU, *POOLS)),
    BatchNorm: (NormBlock, (ReLU, *POOLS)),
    Dense: (DenseBlock, (ReLU,)),
}


def cut(layers: list[Layer], parts: int) -> list[Block]:
    """Cut a model's layers into blocks with ``parts`` workspaces each.

    Only the library's own classes are known: others are called as they are. Flatten is
    nothing but another view of the same numbers, and so no block at all.
    """
    blocks: list[Block] = []
    rest = [layer for layer in layers if kind(layer) is not Flatten]
    while rest:
        block, followers = _BLOCKS.get(kind(rest[0]), (FallbackBlock, ()))
        taken = [rest.pop(0)]
        while rest and _follows(rest[0], taken, followers):
            taken.append(rest.pop(0))
        blocks.append(block(taken, parts))
    return blocks


def _follows(layer: Layer, taken: list[Layer], followers: tuple[type, ...]) -> bool:
    if kind(layer) not in followers:
        return False
    if type(layer) is ReLU:
        return not any(type(other) is ReLU for other in taken)
    return not any(type(other) in POOLS for other in taken) and _cells(layer) <= MOST_CELLS


def _cells(pool: Layer) -> int:
    """Return how many pixels a pool chooses from."""
    return math.prod(pool.pool_size if type(pool) is MaxPool2D else pool.input_shape[:2])
