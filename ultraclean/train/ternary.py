"""BitCPM: weights that are -1, 0 or 1 times a scale, trained through the rounding.

MiniCPM4 report, section on BitCPM4: per group of weights the scale is mean |w|, the weight is
round(w / scale) clamped to [-1, 1], and the gradient passes the rounding unchanged. Only weights
are rounded, activations are not. The report gives no group size: ours are along the inputs.
An export holds the rounded weights and is a plain model from then on: rounding them again would
take another scale, because the zeros count in the mean.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-5


def ternary(weight: Tensor, group: int) -> Tensor:
    """The rounded weight: each run of `group` inputs of a row is in {-s, 0, s}; [n_out, n_in]."""
    n_out, n_in = weight.shape
    grouped = weight.view(n_out, n_in // group, group)
    scale = grouped.abs().mean(dim=-1, keepdim=True).clamp(min=_EPS)
    return ((grouped / scale).round().clamp(-1, 1) * scale).view(n_out, n_in)


class TernaryLinear(nn.Linear):
    """A linear layer that multiplies by its rounded weight and trains the unrounded one."""

    def __init__(self, n_in: int, n_out: int, group: int) -> None:
        super().__init__(n_in, n_out, bias=False)
        if n_in % group:
            raise ValueError(f"ternary_group {group} does not divide {n_in} inputs")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        rounded = ternary(self.weight, self.group)
        return functional.linear(x, self.weight + (rounded - self.weight).detach())
