"""The benchmark: `PYTHONPATH=tests python -m bench`, or `make bench-quick`; see `docs/performance.md`.

Every library is held to one core, which must be said before any of them is imported.
"""

import os

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("DATATROVE_COLORIZE_LOGS", "0")
