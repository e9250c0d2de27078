"""Reading what others may have written: JSON and arrays, strictly, and within bounds known beforehand.

Every function raises ValueError with the reason; who calls it knows the file's purpose and names the file.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.text import shown

MOST_NESTING = 20


def json_object(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds as JSON.

    What JSON does not know is refused, though Python reads it: NaN and infinite numbers; so are a key that
    stands twice, and objects nested more than ``MOST_NESTING`` deep.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as reason:
        raise ValueError("it is nested too deeply") from reason
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {shown(value)}")
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MOST_NESTING:
            raise ValueError(f"it is nested more than {MOST_NESTING} deep")
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for group in inner for each in group if isinstance(each, dict | list)]
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is infinite")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shown(name)} stands there twice")
        found[name] = value
    return found


def typed(parts: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return ``parts[name]``, if it is of that kind; True is no number."""
    if name not in parts:
        raise ValueError(f"{name!r} is missing")
    value = parts[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} must be of type {kind.__name__}, got {shown(value)}")
    return value
