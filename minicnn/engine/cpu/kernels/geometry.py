"""The sizes that the convolution's kernels share, and the padded image that they work on."""

from typing import NamedTuple

from minicnn.runtime.compiled import inlined


class Geometry(NamedTuple):
    """The sizes of one convolution and its pool; ``engine/blocks`` computes them."""

    H: int
    W: int
    C: int
    OH: int  # of the convolution
    OW: int
    OC: int
    PH: int  # behind the pool; without one, OH and OW
    PW: int
    SH: int  # the convolution's strides
    SW: int
    FH: int  # of the field
    FW: int
    top: int  # where the image lies in the field
    left: int
    YW: int  # width of a row of the convolution's result, at least OW
    pitch: int  # numbers a pixel of that: OC, rounded up to whole panels
    length: int  # of a run
    depth: int  # KH·KW·C
    TH: int  # rows and columns of Winograd tiles; 0: the direct way
    TW: int
    band: int  # rows of tiles at a time
    pool_KH: int  # the pool; 1 × 1 without one
    pool_KW: int
    pool_SH: int
    pool_SW: int
    pool_top: int
    pool_left: int
    plain_pool: bool  # 2 × 2, side by side, nothing outside the image
    overlap: bool  # whether the windows of the pool may share lines, or reach outside the image
    relu: bool
    row: int  # numbers in a row of im2col, whole registers; 0: windows are taken from the field


@inlined
def _copy(source, to):
    for k in range(len(source)):
        to[k] = source[k]


@inlined
def pad(g, x, n, field):
    """Copy image n into the field; what lies around it stays zero."""
    width = g.W * g.C
    for h in range(g.H):
        source = (n * g.H + h) * width
        to = ((g.top + h) * g.FW + g.left) * g.C
        _copy(x[source : source + width], field[to : to + width])


@inlined
def crop(g, dfield, dx, n):
    """Copy what is inside the image from dfield to image n of dx."""
    width = g.W * g.C
    for h in range(g.H):
        to, source = (n * g.H + h) * width, ((g.top + h) * g.FW + g.left) * g.C
        _copy(dfield[source : source + width], dx[to : to + width])
