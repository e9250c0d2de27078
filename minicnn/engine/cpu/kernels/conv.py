"""One convolution with what follows it, image by image: bias, ReLU and max-pool.

    y[oh, ow, f] = Σ_i Σ_j Σ_c field[oh·SH + i·DH, ow·SW + j·DW, c] · W[i, j, c, f]

An image and all that is computed from it fit into the L2 cache, so nothing but the pooled result
goes to memory. Each image is copied into a *field*, the image with its padding around it, and the
field is convolved: by Winograd's algorithm where that applies, else directly. There the window of
an output is KH runs of KW·C numbers of the field (with dilation KH·KW runs of C), and ``product``
multiplies runs as they lie, without im2col.
"""

from minicnn.engine.cpu.kernels import winograd
from minicnn.engine.cpu.kernels.epilogue import activate
from minicnn.engine.cpu.kernels.gemm import PANEL, multiply_panel, panel_width
from minicnn.engine.cpu.kernels.geometry import pad
from minicnn.engine.cpu.kernels.simd import LANES, load, store
from minicnn.engine.cpu.kernels.unpool import unpool
from minicnn.runtime.compiled import compiled, inlined


@inlined
def _convolve_directly(g, field, run_at, panels, top, bottom, y):
    """Compute lines ``top`` to ``bottom`` as y (bottom − top, YW, pitch), a panel of filters at a time."""
    for f in range(0, g.pitch, PANEL):
        width = panel_width(g.OC, f)
        for oh in range(top, bottom):
            at, to = oh * g.SH * g.FW * g.C, (oh - top) * g.YW * g.pitch + f
            multiply_panel(
                field, at, g.SW * g.C, 1, run_at, g.length, panels, f * g.depth, width, y, to, g.pitch, g.OW,
                False,
            )  # fmt: skip


@compiled
def forward(g, x, first, last, run_at, weights, bias, out, codes, field, y, v, m, edge, run):
    """Compute images ``first`` to ``last`` of ``out`` and ``codes`` from those of x."""
    # Directly, a line of the pool at a time: it needs pool_KH lines of y, few enough for the L1 cache.
    at_once = g.TH > 0 or g.overlap
    lines, height = (g.PH, g.OH) if at_once else (1, g.pool_KH)
    for n in range(first, last):
        pad(g, x, n, field)
        for ph in range(0, g.PH, lines):
            top = ph * height
            if g.TH > 0:
                panels = g.pitch // PANEL
                winograd.convolve(
                    field, g.FW, g.C, weights, panels, g.TH, g.TW, g.band, v, m, y, g.YW, g.pitch, run
                )
            else:
                _convolve_directly(g, field, run_at, weights, top, top + height, y)
            activate(g, y, top, bias, out, n, ph, ph + lines, codes, edge)


@compiled
def weights_gradient(g, x, dy, codes, first, last, run_at, lines, dw, db, field, dz, edge):
    """Add to dw (pitch / PANEL, depth, PANEL) and db (pitch) what images ``first`` to ``last`` give.

    dW[i, j, c, f] = Σ_oh Σ_ow field[oh·SH + i·DH, ow·SW + j·DW, c] · dz[oh, ow, f]

    A product that sums over the outputs: its rows are the numbers of a window, and each of the OH runs
    of outputs begins at a line of the field. dz is that of one panel of filters, (OH, OW, width).
    """
    uncovered = g.PH * g.pool_KH < g.OH or g.PW * g.pool_KW < g.OW
    for n in range(first, last):
        pad(g, x, n, field)
        for f in range(0, g.pitch, PANEL):
            width = panel_width(g.OC, f)
            if uncovered:
                dz[:] = 0  # a panel of another width has left something
            for k in range(0, width, LANES):
                sums = unpool(g, dy, codes, n, f + k, dz, k, g.OW * width, width, edge)
                store(db, f + k, load(db, f + k, 1) + sums)
            for r in range(len(run_at)):
                to = (f * g.depth) + r * g.length * PANEL
                multiply_panel(
                    field, run_at[r], 1, g.SW * g.C, lines, g.OW, dz, 0, width, dw, to, PANEL, g.length, True
                )
