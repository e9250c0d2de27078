"""What every test shares: hypothesis draws the same examples in every run, and time is never judged."""

import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import settings

settings.register_profile("minicnn", derandomize=True, deadline=None, print_blob=True, max_examples=30)
settings.load_profile("minicnn")

# A loop that Numba has compiled and kept is used again although a loop that it calls, in another
# file, was edited: here each state of the kernels has a cache of its own.
_kernels = sorted((Path(__file__).parent.parent / "minicnn" / "kernels").glob("*.py"))
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in _kernels)).hexdigest()
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"minicnn-{_digest[:16]}"))
