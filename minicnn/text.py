"""Text for messages and the terminal: safe to print, in any encoding."""

import io
import os
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TextIO

# Control characters, line and paragraph separators, marks that change the direction of text, and halves of
# surrogate pairs, which cannot be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 200


def printable(text: str) -> str:
    r"""Return ``text`` as one line that is safe to print: ESC becomes the four characters ``\x1b``."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """Return ``text`` with each of its lines made ``printable``."""
    return "\n".join(map(printable, text.split("\n")))


def shown(value: object) -> str:
    """Return ``repr(value)`` for a message, cut to a few lines; it never raises an error."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, an infinite structure
        return f"<{type(value).__name__} too large to print>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a message, ``printable``: at most ``most``, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def did_you_mean(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of a message that suggests the most similar of ``names``; "" if none is similar."""
    close = get_close_matches(name, list(names), 1, cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def byte_size(size: float) -> str:
    """Return a number of bytes as text: 1.5 KiB, 3.0 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"


def echo(text: Any, file: TextIO | None = None) -> None:
    """Print ``text`` to ``file``, by default stdout, with "?" for characters that its encoding lacks."""
    file = sys.stdout if file is None else file
    if file is None:  # in a process without stdout
        return
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(printable_lines(str(text)).encode(encoding, "replace").decode(encoding), file=file, flush=True)


def tolerate_every_terminal() -> None:
    """Make stdout and stderr print "?" for characters they lack, and discard all text if they are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for the whole process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
