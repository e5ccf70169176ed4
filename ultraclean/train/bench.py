"""How fast a size trains on this device, beside the same model in transformers.

    python -m ultraclean.train.bench 0.5B --length 2048 --batch 16 --compile

prints tokens per second, MFU, peak memory and the losses of both, from the same weights, on the
same tokens, by the same optimiser (all of it; muP groups do not matter for speed). Tokens are a
noisy chain, so that the losses fall. Warm-up steps, which compile, are not timed.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ultraclean.train.config import PRESETS, ModelConfig
from ultraclean.train.convert import export_model
from ultraclean.train.loop import autocast, peak_flops
from ultraclean.train.model import empty_model, initialise
from ultraclean.train.parallel import join


def chain(n_rows: int, length: int, vocab_size: int, seed: int) -> Tensor:
    """int64[n_rows, length + 1]: each token follows from the one before, but for some noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 4, (n_rows, length + 1), generator=generator)
    tokens = [torch.randint(0, vocab_size, (n_rows,), generator=generator)]
    for step in range(1, length + 1):
        tokens.append((tokens[-1] * 5 + noise[:, step]) % min(vocab_size, 1021))
    return torch.stack(tokens, dim=1)


def measure(
    name: str,
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batches: Sequence[Tensor],
    n_warm: int,
    precision: str,
) -> dict[str, Any]:
    """Trains on each batch once; times those after the first `n_warm`."""
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    losses = []
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        if number == n_warm:
            began = time.perf_counter()
        with autocast(precision, device):
            loss = loss_of(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))  # waits for the device
    seconds = time.perf_counter() - began
    n_tokens = batches[0][:, 1:].numel() * (len(batches) - n_warm)
    return {"name": name, "tokens_per_s": n_tokens / seconds, "losses": losses}


def bench(
    preset: str,
    *,
    length: int = 2048,
    batch: int = 8,
    steps: int = 20,
    n_warm: int = 5,
    compile: bool = False,
    recompute: bool = False,
    precision: str = "bf16",
    device: str = "auto",
    transformers: bool = True,
    **changes: Any,
) -> list[dict[str, Any]]:
    """One result for ours and one for transformers, if it is asked for."""
    world = join(device)
    config = ModelConfig.preset(preset, **changes)
    batches = [
        chain(batch, length, config.vocab_size, seed).to(world.device) for seed in range(steps)
    ]
    peak = peak_flops(world)
    results = []

    def add(name: str, model: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor]) -> None:
        if compile:
            model.compile()
        if world.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        result = measure(name, model, loss_of, batches, n_warm, precision)
        if peak is not None:
            result["mfu"] = config.flops_per_token(length) * result["tokens_per_s"] / peak
        result["peak_gb"] = _peak_bytes(world.device) / 1e9
        results.append(result)

    with tempfile.TemporaryDirectory() as folder:
        ours = empty_model(config)
        initialise(ours, 0)
        export_model(ours, folder, "granite")
        ours.recompute = recompute
        ours.to(world.device)
        add("ours", ours, lambda tokens, targets: ours(tokens, targets)[0].mean())
        ours.to("cpu")
        if transformers:
            from transformers import AutoModelForCausalLM

            theirs: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            theirs.to(world.device)
            if recompute:
                theirs.gradient_checkpointing_enable()
            theirs.train()

            def loss_of(tokens: Tensor, targets: Tensor) -> Tensor:
                loss: Tensor = theirs(
                    input_ids=tokens, labels=targets, shift_labels=targets, use_cache=False
                ).loss
                return loss

            add("transformers", theirs, loss_of)
    return results


def _peak_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # of the whole process


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ultraclean.train.bench")
    parser.add_argument("preset", choices=list(PRESETS))
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=8, help="samples at once")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--n-warm", type=int, default=5, help="steps that are not timed")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--no-transformers", dest="transformers", action="store_false")
    for result in bench(**vars(parser.parse_args(arguments))):
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
