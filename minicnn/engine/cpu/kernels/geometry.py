"""The sizes that the kernels of a block share, and the padded image."""

from typing import NamedTuple

from minicnn.runtime.compiled import inlined


class Geometry(NamedTuple):
    """The sizes of a convolution or normalization and its pool, from ``blocks/geometry.py``.

    A normalization is a 1 × 1 convolution here, and no pool is a 1 × 1 pool.
    """

    H: int
    W: int
    C: int
    OH: int  # of the convolution
    OW: int
    OC: int
    PH: int  # of the pool
    PW: int
    SH: int  # the convolution's strides
    SW: int
    FH: int  # of the padded image
    FW: int
    top: int  # where the image begins in it
    left: int
    YW: int  # width of a row of the convolution's result z, at least OW
    pitch: int  # numbers in a pixel of z: OC, rounded up to whole panels
    length: int  # of a run
    depth: int  # KH·KW·C
    TH: int  # rows and columns of Winograd tiles; 0 for a direct convolution
    TW: int
    band: int  # rows of tiles at a time
    pool_KH: int
    pool_KW: int
    pool_SH: int
    pool_SW: int
    pool_top: int
    pool_left: int
    pool_2x2: bool  # without overlap and inside the image
    overlap: bool  # whether windows of the pool may share lines, or reach outside the image
    relu: bool


@inlined
def _copy(source, to):
    for k in range(len(source)):
        to[k] = source[k]


@inlined
def pad(g, x, n, padded):
    """Copy image n into the padded image, whose border is zero."""
    width = g.W * g.C
    for h in range(g.H):
        source, to = (n * g.H + h) * width, ((g.top + h) * g.FW + g.left) * g.C
        _copy(x[source : source + width], padded[to : to + width])


@inlined
def crop(g, dpadded, dx, n):
    """Copy dpadded without its border to image n of dx."""
    width = g.W * g.C
    for h in range(g.H):
        to, source = (n * g.H + h) * width, ((g.top + h) * g.FW + g.left) * g.C
        _copy(dpadded[source : source + width], dx[to : to + width])
