"""Kernels: fast loops over Arrow buffers, each beside a reference; nothing of ours is imported."""

import os as _os
import tempfile as _tempfile

# numba raises where it cannot write its compiled code beside the source, as in a read-only
# install; this variable is read when numba is imported.
if not _os.access(_os.path.dirname(__file__), _os.W_OK):
    _home = _os.path.expanduser("~")
    _base = _home if _os.access(_home, _os.W_OK) else _tempfile.gettempdir()
    _os.environ.setdefault("NUMBA_CACHE_DIR", _os.path.join(_base, ".cache", "ultraclean", "numba"))
