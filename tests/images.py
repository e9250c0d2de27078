"""Images that augmentation may give."""

import numpy as np


def variants(image, flip, shift):
    """Return every possible result, as bytes."""
    H, W, _ = image.shape
    found = {}
    for mirrored in (False, True) if flip else (False,):
        source = image[:, ::-1] if mirrored else image
        for down in range(-shift, shift + 1):
            for right in range(-shift, shift + 1):
                moved = np.zeros_like(image)
                for h in range(H):
                    for w in range(W):
                        if 0 <= h - down < H and 0 <= w - right < W:
                            moved[h, w] = source[h - down, w - right]
                found[moved.tobytes()] = mirrored, down, right
    return found


def erased_variants(image):
    """Return every possible result if a rectangle is always erased, as bytes."""
    H, W, _ = image.shape
    found = set()
    for h in range(max(H // 8, 1), max(H // 2, 1) + 1):
        for w in range(max(W // 8, 1), max(W // 2, 1) + 1):
            for top in range(H - h + 1):
                for left in range(W - w + 1):
                    erased = image.copy()
                    erased[top : top + h, left : left + w] = 0
                    found.add(erased.tobytes())
    return found
