"""`ultraclean train train.yaml`: reads a spec, trains, and says what came out."""

from __future__ import annotations

import sys

from ultraclean.errors import UltracleanError
from ultraclean.train import need_torch
from ultraclean.train.spec import load_spec


def main(path: str) -> int:
    """Trains by the YAML file at `path`: 0, or 1 with the error on stderr; 130 when interrupted.

    Under torchrun each process calls it; only the first prints.
    """
    try:
        spec = load_spec(path)
        need_torch()
        from ultraclean.train.loop import train
        from ultraclean.train.parallel import is_first

        done = train(spec)
    except UltracleanError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    if is_first():
        loss = "" if done.loss is None else f", loss {done.loss:.4f}"
        print(f"{done.step} steps, {done.tokens:,} tokens{loss}: {done.checkpoint}")
        for name, measured in done.validation.items():
            print(f"  {name}: " + ", ".join(f"{key} {one:.4f}" for key, one in measured.items()))
    return 0
