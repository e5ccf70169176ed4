"""The numbers of InfLLM v2 sparse attention, checked once, and read from a model's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

COARSE = 4  # a coarse window is four fine ones long, and moves four times as far


@dataclass(frozen=True)
class SparseConfig:
    """What MiniCPM4 calls `sparse_config`; the defaults are those of MiniCPM4.1-8B.

    A query sees `init_blocks` first blocks, its own block and the `window_size / block_size`
    before it, and the best of the others: `topk` blocks besides the window, the first ones
    included. 1 + 33 + 62 = 96 blocks with the defaults.
    """

    kernel_size: int = 32
    kernel_stride: int = 16
    init_blocks: int = 1
    block_size: int = 64
    window_size: int = 2048
    topk: int = 64
    dense_len: int = 8192
    """A sequence shorter than this is attended densely; -1: every sequence is sparse."""
    use_nope: bool = False
    """Blocks are chosen by queries and keys before RoPE, which the caller passes."""
    exact_lse: bool = False
    """Normalise by the fine windows, not by the coarse ones (a quarter of the work)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            kind, value = type(field.default), getattr(self, field.name)
            _need(type(value) is kind, field.name, value, f"of type {kind.__name__}")
        for name in ("kernel_size", "kernel_stride", "block_size", "topk"):
            _need(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _need(self.init_blocks >= 0, "init_blocks", self.init_blocks, "0 or more")
        _need(self.dense_len >= -1, "dense_len", self.dense_len, "-1 (never dense) or more")
        _need(
            self.kernel_size % self.kernel_stride == 0,
            "kernel_size",
            self.kernel_size,
            f"a multiple of kernel_stride ({self.kernel_stride})",
        )
        _need(
            self.block_size % self.kernel_stride == 0,
            "block_size",
            self.block_size,
            f"a multiple of kernel_stride ({self.kernel_stride})",
        )
        _need(
            self.window_size >= 0 and self.window_size % self.block_size == 0,
            "window_size",
            self.window_size,
            f"a multiple of block_size ({self.block_size})",
        )
        _need(
            self.topk > self.init_blocks,
            "topk",
            self.topk,
            f"more than init_blocks ({self.init_blocks}), which it includes with the query's block",
        )

    @property
    def local_blocks(self) -> int:
        """Blocks of the window before the query's own block, which is always seen as well."""
        return self.window_size // self.block_size

    @property
    def list_len(self) -> int:
        """Most blocks that one query sees."""
        return self.topk + self.local_blocks

    @property
    def coarse_size(self) -> int:
        return COARSE * self.kernel_size

    @property
    def coarse_stride(self) -> int:
        return COARSE * self.kernel_stride

    def is_dense(self, length: int) -> bool:
        """Whether a sequence of so many keys is attended densely."""
        return length < self.dense_len


def parse(config: Mapping[str, Any]) -> SparseConfig | None:
    """The `sparse_config` of a model's config.json, nested or flattened; None where it has none.

    Flattened means the same names at the top level, each with `sparse_` before it.
    """
    known = {field.name for field in fields(SparseConfig)}
    nested = config.get("sparse_config")
    if nested is not None:
        _need(isinstance(nested, Mapping), "sparse_config", nested, "a table of numbers")
        unknown = sorted(set(nested) - known)
        _need(not unknown, "sparse_config", unknown, f"only {sorted(known)}")
        return SparseConfig(**nested)
    found = {name: config[f"sparse_{name}"] for name in known if f"sparse_{name}" in config}
    return SparseConfig(**found) if found else None


def _need(holds: bool, name: str, got: object, needs: str) -> None:
    if not holds:
        raise ValueError(f"{name}: got {got!r}, needs {needs}")
