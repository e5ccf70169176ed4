"""What a report says of the machine: processor, memory, versions, load."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.corpora import ROOT
from bench.peers import versions


def load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


def describe() -> str:
    """Lines of Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    return "\n".join(
        [
            f"- processor: {_processor()}, {os.cpu_count()} CPUs, {memory:.0f} GiB",
            f"- {platform.system()} {platform.release()}, Python {platform.python_version()}",
            f"- commit: {_commit()}",
            f"- packages: {packages}",
        ]
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
