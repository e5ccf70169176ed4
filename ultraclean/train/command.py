"""`ultraclean train` and `ultraclean needle`: read what to do, do it, and say what came out."""

from __future__ import annotations

import argparse
import sys

from ultraclean import storage
from ultraclean.errors import DataError, UltracleanError
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


def needle(arguments: argparse.Namespace) -> int:
    """Searches needles with the model of a folder, and prints a table."""
    need_torch()
    import torch

    from ultraclean.train.convert import import_model
    from ultraclean.train.needle import record, search, table
    from ultraclean.train.shards import load_tokenizer

    path = arguments.tokenizer or storage.join(arguments.model, "tokenizer.json")
    if not storage.exists(path):
        raise DataError(f"{path} does not exist: name the model's tokenizer with --tokenizer")
    changes: dict[str, object] = {"attention": arguments.attention} if arguments.attention else {}
    if arguments.beyond:
        changes["max_position_embeddings"] = max(arguments.length)
    model = import_model(arguments.model, path, **changes)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        model.float()  # bfloat16 is slower there
    found = search(
        model.to(device),
        load_tokenizer(path),
        storage.read_bytes(arguments.haystack).decode(),
        lengths=arguments.length,
        depths=arguments.depth,
        trials=arguments.trials,
        seed=arguments.seed,
    )
    print(table(found))
    if arguments.out:
        storage.write_json(arguments.out, record(found))
    return 0
