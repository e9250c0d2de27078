"""The blocks of the captured engine: layers as launches of CUDA kernels."""

from collections.abc import Sequence

from minicnn import layers as L
from minicnn.engine import fusion
from minicnn.engine.audit import kind
from minicnn.engine.cuda.blocks.base import Block, Gradient
from minicnn.engine.cuda.blocks.conv import ConvBlock
from minicnn.engine.cuda.blocks.elementwise import ActivationBlock, DropoutBlock
from minicnn.engine.cuda.blocks.norm import NormBlock
from minicnn.engine.cuda.blocks.pool import PoolBlock
from minicnn.engine.cuda.device import Device
from minicnn.layers import Layer

__all__ = ["Block", "Gradient", "knows", "make_blocks"]

BLOCKS: dict[type[Layer], type[Block]] = {
    L.Conv2D: ConvBlock,
    L.BatchNorm: NormBlock,
    L.Dense: ConvBlock,
    L.MaxPool2D: PoolBlock,
    L.AvgPool2D: PoolBlock,
    L.GlobalMaxPool2D: PoolBlock,
    L.GlobalAvgPool2D: PoolBlock,
    L.ReLU: ActivationBlock,
    L.LeakyReLU: ActivationBlock,
    L.Dropout: DropoutBlock,
}
_SIDE_BY_SIDE = (2, 2), (2, 2), ((0, 0), (0, 0))


def knows(layers: Sequence[Layer]) -> bool:
    """Whether there is a block for each layer."""
    return all(kind(layer) in BLOCKS or kind(layer) is L.Flatten for layer in layers)


def make_blocks(device: Device, layers: Sequence[Layer]) -> list[Block]:
    """Return the blocks of a model's layers."""
    groups = fusion.groups(layers, lambda pool: pool.window == _SIDE_BY_SIDE)
    return [BLOCKS[kind(group[0])](device, group) for group in groups]
