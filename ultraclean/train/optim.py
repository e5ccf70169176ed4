"""AdamW under muP: matrices inside the blocks learn more slowly the wider they are.

MiniCPM (2404.06395), appendix A: the learning rate of a matrix is divided by width /
`dim_model_base`; embeddings, output head and norms keep it. Weight decay is on the matrices only
(the paper does not say).
"""

from __future__ import annotations

import torch
from torch import nn

from ultraclean.train.model import MiniCPM4, is_matrix
from ultraclean.train.spec import TrainSpec


def make_optimizer(model: MiniCPM4, spec: TrainSpec) -> torch.optim.AdamW:
    """Two groups, each with the factor `scale` that its learning rate is multiplied by."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if is_matrix(name, parameter) else rest).append(parameter)
    groups = [
        {
            "params": matrices,
            "scale": 1 / model.config.width_ratio,
            "weight_decay": spec.weight_decay,
        },
        {"params": rest, "scale": 1.0, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Gives each group the rate `lr` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
