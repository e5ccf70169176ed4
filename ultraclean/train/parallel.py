"""One device, whole copies (DDP) or shards (FSDP2): the same model code, wrapped.

Under torchrun the process group is made here; under Ray Train it is there already. The loss of a
step is summed over its targets and divided by their number over all devices, so that neither the
number of devices nor the size of a micro-batch changes what a step means.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ultraclean.errors import DataError
from ultraclean.train.model import Block, MiniCPM4
from ultraclean.train.spec import TrainSpec


@dataclass(frozen=True)
class World:
    """This process among all: `size` processes, one device each."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


def join(device: str) -> World:
    """The world of this process. A process group lives as long as the process: runs may share it."""
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise DataError(
            "device is cuda, and torch sees no GPU: set device: cpu, or install drivers"
        )
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(where)
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
        atexit.register(dist.destroy_process_group)
    if dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size(), where)
    return World(0, 1, where)


def is_first() -> bool:
    """Whether this process is the one that prints, by what torchrun says."""
    return os.environ.get("RANK", "0") == "0"


def wrap(model: MiniCPM4, spec: TrainSpec, world: World) -> nn.Module:
    """The model as the loop calls it. Sharding changes `model` in place; copies are a wrapper."""
    if world.size > 1 and spec.parallel == "fsdp":
        policy = MixedPrecisionPolicy()
        if spec.precision == "bf16":
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        for block in [one for one in model.modules() if isinstance(one, Block)]:
            fully_shard(block, mp_policy=policy)
            if spec.compile:
                block.compile()
        fully_shard(model, mp_policy=policy)
        return model
    if spec.compile:
        model.compile()
    if world.size > 1:
        ids = [world.device.index] if world.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)
    return model


@contextlib.contextmanager
def without_sync(model: nn.Module, last: bool) -> Iterator[None]:
    """Gradients of micro-batches stay on their device; those of the last bring all together."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        yield
    elif isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
    else:
        yield


def summed(world: World, *values: float) -> list[float]:
    """Each value summed over all processes."""
    if world.size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(tensor)
    return [float(value) for value in tensor.tolist()]


def barrier(world: World) -> None:
    if world.size > 1:
        dist.barrier()


def whole(tensor: Tensor) -> Tensor:
    """A parameter or its optimiser state on the CPU, gathered from all devices if sharded."""
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.detach().cpu().contiguous()


def shard_like(value: Tensor, parameter: Any) -> Tensor:
    """A whole tensor placed as a parameter is: on its device, and sharded if it is."""
    value = value.to(parameter.device)
    if isinstance(parameter, DTensor):
        # Each process has the whole tensor and cuts out its own part: nothing is sent.
        return distribute_tensor(
            value, parameter.device_mesh, parameter.placements, src_data_rank=None
        )
    return value
