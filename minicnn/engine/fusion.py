"""Which layers are computed together; all engines share this table."""

from collections.abc import Callable, Sequence

from minicnn.engine.audit import kind
from minicnn.layers import BatchNorm, Conv2D, Dense, Flatten, GlobalMaxPool2D, Layer, MaxPool2D, ReLU

MAX_POOLS = MaxPool2D, GlobalMaxPool2D
FOLLOWERS: dict[type[Layer], tuple[type[Layer], ...]] = {
    Conv2D: (ReLU, *MAX_POOLS),
    BatchNorm: (ReLU, *MAX_POOLS),
    Dense: (ReLU,),
}
"""What may follow a layer in its block: at most one ReLU and one max-pool, in any order."""


def groups(layers: Sequence[Layer], fits: Callable[[Layer], bool]) -> list[list[Layer]]:
    """Split layers into groups, one for each block; Flatten, which does nothing to flat arrays, is omitted.

    ``fits(pool)`` tells whether the engine can compute a max-pool together with the layer before it.
    """
    found: list[list[Layer]] = []
    for layer in layers:
        if kind(layer) is Flatten:
            continue
        if found and _follows(layer, found[-1], fits):
            found[-1].append(layer)
        else:
            found.append([layer])
    return found


def _follows(layer: Layer, group: list[Layer], fits: Callable[[Layer], bool]) -> bool:
    if kind(layer) not in FOLLOWERS.get(kind(group[0]), ()):
        return False
    if kind(layer) is ReLU:
        return not any(kind(other) is ReLU for other in group)
    return not any(kind(other) in MAX_POOLS for other in group) and fits(layer)
