"""Convolution with bias, ReLU and max-pool, one image at a time.

    z[oh, ow, f] = Σ_i Σ_j Σ_c padded[oh·SH + i·DH, ow·SW + j·DW, c] · W[i, j, c, f]

An image and its intermediate results fit into the L2 cache, so only the pooled result goes to memory.
Each image is copied into a padded one and convolved, by Winograd's algorithm where that applies, else
directly: a window is KH runs of KW·C numbers (with dilation KH·KW runs of C), which ``gemm`` multiplies
in place, without im2col.
"""

from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.kernels import winograd
from minicnn.engine.cpu.kernels.epilogue import epilogue, unpool
from minicnn.engine.cpu.kernels.gemm import PANEL, multiply_panel, panel_width
from minicnn.engine.cpu.kernels.geometry import pad
from minicnn.engine.cpu.kernels.simd import LANES, load, store
from minicnn.runtime.compiled import compiled, inlined


class Workspace(NamedTuple):
    """The buffers of one thread; all threads share starts, bias and switches."""

    starts: np.ndarray  # where the runs of a window begin in the padded image
    bias: np.ndarray
    switches: np.ndarray  # (N, PH, PW, pitch); empty in a prediction
    panels: np.ndarray  # the filters; transformed for Winograd's algorithm
    padded: np.ndarray  # (FH, FW, C)
    z: np.ndarray  # (lines, YW, pitch)
    v: np.ndarray  # a band of tiles, transformed
    m: np.ndarray  # one panel of its products
    edge: np.ndarray  # (LANES,)


class DenseGradient(NamedTuple):
    """The buffers of ``dense_gradient`` for one thread."""

    dw: np.ndarray  # (pitch / PANEL, depth, PANEL)
    db: np.ndarray  # (pitch,)
    dz: np.ndarray  # of one panel of filters: (OH, OW, width)
    line_starts: np.ndarray  # where the lines of windows begin in the padded image


@inlined
def _convolve_directly(g, padded, starts, panels, top, bottom, z):
    """Compute lines ``top`` to ``bottom`` as z (bottom − top, YW, pitch), a panel of filters at a time."""
    for f in range(0, g.pitch, PANEL):
        panel, width = f * g.depth, panel_width(g.OC, f)
        for oh in range(top, bottom):
            at, to = oh * g.SH * g.FW * g.C, (oh - top) * g.YW * g.pitch + f
            multiply_panel(
                padded, at, g.SW * g.C, 1, starts, g.length, panels, panel, width, z, to, g.pitch, g.OW, False
            )


@compiled
def forward(g, workspace, x, y, first, last):
    """Compute images ``first`` to ``last`` of y, and of the switches, from those of x."""
    starts, bias, switches, panels, padded, z, v, m, edge = workspace
    # The direct convolution computes a line of the pool at a time: its pool_KH lines of z fit into L1.
    at_once = g.TH > 0 or g.overlap
    lines, height = (g.PH, g.OH) if at_once else (1, g.pool_KH)
    for n in range(first, last):
        pad(g, x, n, padded)
        for ph in range(0, g.PH, lines):
            top = ph * height
            if g.TH > 0:
                winograd.convolve(g, padded, panels, v, m, z)
            else:
                _convolve_directly(g, padded, starts, panels, top, top + height, z)
            epilogue(g, z, top, bias, y, n, ph, ph + lines, switches, edge)


@compiled
def dense_gradient(g, workspace, gradient, x, dy, dx, first, last):
    """Add the dW and db of images ``first`` to ``last``, as a dense product; dx is not computed.

    dW[i, j, c, f] = Σ_oh Σ_ow padded[oh·SH + i·DH, ow·SW + j·DW, c] · dz[oh, ow, f]

    The sum is over the outputs: OH runs, each of which begins at a line of the padded image.
    """
    starts, _, switches, _, padded, _, _, _, edge = workspace
    dw, db, dz, line_starts = gradient
    uncovered = g.PH * g.pool_KH < g.OH or g.PW * g.pool_KW < g.OW
    for n in range(first, last):
        pad(g, x, n, padded)
        for f in range(0, g.pitch, PANEL):
            width = panel_width(g.OC, f)
            if uncovered:
                dz[:] = 0  # left over from a panel of another width
            for k in range(0, width, LANES):
                sums = unpool(g, dy, switches, n, f + k, dz, k, g.OW * width, width, edge)
                store(db, f + k, load(db, f + k, 1) + sums)
            for r in range(len(starts)):
                to = f * g.depth + r * g.length * PANEL
                multiply_panel(
                    padded, starts[r], 1, g.SW * g.C, line_starts, g.OW, dz, 0, width,
                    dw, to, PANEL, g.length, True,
                )  # fmt: skip
