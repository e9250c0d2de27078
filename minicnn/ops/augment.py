"""Flipping and shifting images."""

from minicnn.backend import Array
from minicnn.runtime.compiled import compiled


@compiled
def move(images: Array, mirrored: Array, down: Array, right: Array, moved: Array) -> None:
    """Write ``images`` to ``moved``, both (N, H, W, C), mirrored and then shifted, padded with 0."""
    N, H, W, C = images.shape
    for n in range(N):
        for i in range(H):
            h = i - down[n]
            for j in range(W):
                w = j - right[n]
                inside = 0 <= h < H and 0 <= w < W
                if mirrored[n]:
                    w = W - 1 - w
                for c in range(C):
                    moved[n, i, j, c] = images[n, h, w, c] if inside else 0
