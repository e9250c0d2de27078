"""The layers as launches of CUDA kernels, and the cutting of a model into such blocks."""

from collections.abc import Sequence

from minicnn import layers as L
from minicnn.engine.audit import kind
from minicnn.engine.cuda.blocks.base import Block, Gradient
from minicnn.engine.cuda.blocks.conv import ConvBlock
from minicnn.engine.cuda.blocks.elementwise import ActivationBlock, DropoutBlock
from minicnn.engine.cuda.blocks.norm import NormBlock
from minicnn.engine.cuda.blocks.pool import PoolBlock
from minicnn.engine.cuda.device import Device
from minicnn.layers import Layer

__all__ = ["Block", "Gradient", "cut", "knows"]

# What a block may begin with, and what it then takes along: each at most once, in any order.
_BLOCKS: dict[type[Layer], tuple[type[Block], tuple[type[Layer], ...]]] = {
    L.Conv2D: (ConvBlock, (L.ReLU, L.MaxPool2D)),
    L.BatchNorm: (NormBlock, (L.ReLU, L.MaxPool2D)),
    L.Dense: (ConvBlock, (L.ReLU,)),
    L.MaxPool2D: (PoolBlock, ()),
    L.AvgPool2D: (PoolBlock, ()),
    L.GlobalMaxPool2D: (PoolBlock, ()),
    L.GlobalAvgPool2D: (PoolBlock, ()),
    L.ReLU: (ActivationBlock, ()),
    L.LeakyReLU: (ActivationBlock, ()),
    L.Dropout: (DropoutBlock, ()),
}
_SIDE_BY_SIDE = (2, 2), (2, 2), ((0, 0), (0, 0))


def knows(layers: Sequence[Layer]) -> bool:
    """Whether there is a block for each layer: others may compute something else."""
    return all(kind(layer) in _BLOCKS or kind(layer) is L.Flatten for layer in layers)


def cut(device: Device, layers: Sequence[Layer]) -> list[Block]:
    """Cut a model's layers into blocks. Flatten is another view of the same numbers, and no block at all."""
    blocks: list[Block] = []
    rest = [layer for layer in layers if type(layer) is not L.Flatten]
    while rest:
        block, followers = _BLOCKS[type(rest[0])]
        group = [rest.pop(0)]
        while rest and _follows(rest[0], group, followers):
            group.append(rest.pop(0))
        blocks.append(block(device, group))
    return blocks


def _follows(layer: Layer, group: list[Layer], followers: tuple[type[Layer], ...]) -> bool:
    if type(layer) not in followers or type(layer) in map(type, group):
        return False
    return type(layer) is not L.MaxPool2D or layer.window == _SIDE_BY_SIDE
