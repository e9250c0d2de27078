"""Text for messages and the terminal: names from files made safe to show, printed in any encoding."""

import io
import os
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TextIO

# Control characters, line and paragraph separators, what turns the direction of writing, and halves of
# surrogate pairs, which no encoding takes.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 200


def printable(text: str) -> str:
    r"""Return ``text`` as one line that a terminal only shows: ESC becomes the four characters ``\x1b``.

    What is printable already stays as it is, so that doing it twice changes nothing.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """Return ``text`` with each of its lines made ``printable``."""
    return "\n".join(map(printable, text.split("\n")))


def shown(value: object) -> str:
    """Return ``repr(value)`` for a message: never an error, and never longer than a few lines."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, a list that holds itself
        return f"<{type(value).__name__} too large to print>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a message, ``printable``: at most so many, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def did_you_mean(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of a message that asks for the nearest of ``names``; "" if none is that near."""
    close = get_close_matches(name, list(names), 1, cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def byte_size(size: int) -> str:
    """Return a number of bytes as a person reads it: 1.5 KiB, 3.0 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"


def echo(text: Any, file: TextIO | None = None) -> None:
    """Print ``text`` to ``file``, by default stdout; "?" stands for what its encoding does not have.

    Nothing is printed where there is no stdout, as in a process whose parent closed it.
    """
    file = sys.stdout if file is None else file
    if file is None:
        return
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(printable_lines(str(text)).encode(encoding, "replace").decode(encoding), file=file, flush=True)


def tolerate_every_terminal() -> None:
    """Let stdout and stderr print "?" for what their encoding lacks, and nothing where they are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
