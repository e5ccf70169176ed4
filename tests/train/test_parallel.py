"""Two processes on a CPU, by gloo, give the losses of one; a run goes on in the other way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ultraclean import markup
from ultraclean.errors import DataError
from ultraclean.train import Mix, TrainSpec, train
from ultraclean.train import checkpoint as checkpoints
from ultraclean.train.checkpoint import read_tensors
from ultraclean.train.loop import _split_batch
from ultraclean.train.parallel import World

MakeSpec = Callable[..., TrainSpec]


def lines_of(out: str) -> list[dict[str, float]]:
    lines = (Path(out) / "log.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["event"] != "start"]


def torchrun(specs: list[TrainSpec], folder: Path) -> None:
    """Trains the specs one after the other, in two processes."""
    files = []
    for number, spec in enumerate(specs):
        files.append(folder / f"spec{number}.yaml")
        files[-1].write_text(markup.dump(json.loads(spec.model_dump_json())))
    script = folder / "run.py"
    script.write_text(
        "import sys, torch; torch.set_num_threads(1)\n"
        "from ultraclean.train.command import main\n"
        "sys.exit(max([main(path) for path in sys.argv[1:]]))\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    done = subprocess.run(
        [*command, str(script), *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_processes_give_the_losses_of_one(
    make_spec: MakeSpec, text_shards: str, tmp_path: Path
) -> None:
    held = {"held": Mix(path=text_shards, part=(0.9, 1.0))}
    one = make_spec(validation=held, validate_samples=7, checkpoint_every=4)
    train(one)
    # A run of one process, cut back to its fourth step: two others go on with it.
    half = make_spec(
        validation=held, validate_samples=7, checkpoint_every=4, out=str(tmp_path / "half"), keep=9
    )
    train(half)
    for step, folder in checkpoints.checkpoints(half.out):
        if step > 4:
            (Path(folder) / "checkpoint.json").unlink()
    ways = {
        "ddp": one.model_copy(update={"out": str(tmp_path / "ddp"), "micro_batch": 1}),
        "fsdp": one.model_copy(update={"out": str(tmp_path / "fsdp"), "parallel": "fsdp"}),
        "half": half.model_copy(update={"parallel": "fsdp", "micro_batch": 1}),
    }
    torchrun(list(ways.values()), tmp_path)
    expected = lines_of(one.out)
    wanted = read_tensors(f"{checkpoints.checkpoints(one.out)[-1][1]}/model.safetensors")
    for name, spec in ways.items():
        found = lines_of(spec.out)
        assert [line["step"] for line in found] == [line["step"] for line in expected]
        for ours, theirs in zip(found, expected, strict=True):
            for key in ("loss", "bits_per_byte", "grad_norm"):
                if key in theirs:
                    assert ours[key] == pytest.approx(theirs[key], abs=1e-4), (name, ours, theirs)
            if "sources" in theirs:
                assert ours["sources"]["held"] == pytest.approx(theirs["sources"]["held"], abs=1e-4)  # type: ignore[index]
        weights = read_tensors(f"{checkpoints.checkpoints(spec.out)[-1][1]}/model.safetensors")
        for key, weight in wanted.items():
            assert torch.allclose(weights[key], weight, atol=1e-3), (name, key)


def test_a_batch_that_does_not_divide_is_refused(make_spec: MakeSpec) -> None:
    world = World(0, 3, torch.device("cpu"))
    with pytest.raises(DataError, match="a batch of 4 samples does not divide by 3 devices"):
        _split_batch(make_spec(), world)
    assert _split_batch(make_spec(micro_batch=3), World(1, 1, world.device)) == [(0, 3), (3, 4)]


def _work(config: dict[str, Any]) -> None:
    """A worker of Ray Train, as docs/training.md has it."""
    from ultraclean.train import TrainSpec, train

    torch.set_num_threads(1)
    train(TrainSpec.model_validate(config))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray's own data library
def test_ray_train_gives_the_losses_of_one(
    make_spec: MakeSpec, text_shards: str, tmp_path: Path, ray_executor: Any
) -> None:
    try:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        pytest.skip(f'Ray Train is not whole here: pip install "ray[train]" ({error})')
    one = make_spec()
    train(one)
    two = one.model_copy(update={"out": str(tmp_path / "two")})
    TorchTrainer(
        _work,
        train_loop_config=two.model_dump(mode="json"),
        scaling_config=ScalingConfig(num_workers=2, use_gpu=False),
        run_config=RunConfig(storage_path=str(tmp_path / "ray")),
    ).fit()
    losses, expected = ([line.get("loss") for line in lines_of(s.out)] for s in (two, one))
    assert len(losses) == len(expected) > 0
    for loss, right in zip(losses, expected, strict=True):
        assert loss == pytest.approx(right, abs=1e-4)
