"""Peers that are not among the project's test packages: put into a folder of the build by pip.

They are installed without their dependencies, into a folder at the end of the path, so that nothing
of the environment changes; each needs only what the test packages bring.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from bench.corpora import BUILD

PEERS = ("rensa==0.5.0", "warcio==1.8.1")
COMPARED = (
    "numpy", "numba", "pyarrow", "polars", "fasttext", "tokenizers", "transformers", "datasketch",
    "rensa", "datatrove", "spacy", "ftfy", "fastwarc", "warcio", "trafilatura", "resiliparse", "ray",
)  # fmt: skip


def install() -> None:
    """Makes the peers importable; the first time it installs them."""
    folder = BUILD / "peers" / "-".join(PEERS).replace("==", "_")
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
        subprocess.run([*command, str(folder), *PEERS], check=True)
    sys.path.append(str(folder))


def versions() -> dict[str, str]:
    found = {}
    for name in COMPARED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
