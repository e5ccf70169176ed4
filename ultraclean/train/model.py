"""The MiniCPM4 network: RMSNorm, rotary grouped-query attention, SwiGLU, and the muP scales.

MiniCPM4 report, sections 2 and 3; MiniCPM (2404.06395), appendix A for muP: embeddings times
`scale_emb`, each branch times `scale_depth` / sqrt(layers), the last hidden state over
width / `dim_model_base`. Parameters have the names of the released checkpoints. The optional
head for the token after the next (report, section 3) is one block over the norms of hidden state
and next embedding, sharing embedding and output head; its names are ours, and exports leave it out.

Shapes: B sequences, T tokens, D width, V vocabulary, H query heads, K key heads, E width of a head.
"""

# ruff: noqa: N803, N806 -- a tensor's name ends in its shape

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ultraclean.train.attention import Sight, attend, rotate, rotation, sight
from ultraclean.train.config import ModelConfig
from ultraclean.train.ternary import TernaryLinear

IGNORED = -1
"""A target that does not count: another document's, a user's turn, padding."""

HEAD_TOKENS = 4096
"""Tokens whose logits are held at once while activations are recomputed."""


class Reader(Protocol):
    """Attention to what was read before, of one layer: `ultraclean.train.inference` has it."""

    def attend(self, q_NHE: Tensor, k_NKE: Tensor, v_NKE: Tensor) -> Tensor:
        """Keeps the keys and values of N packed tokens, before RoPE, and attends: [N, H, E]."""


class RMSNorm(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.rms_norm_eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * x32.to(x.dtype)


def _linear(config: ModelConfig, n_in: int, n_out: int) -> nn.Linear:
    if config.ternary_group is not None:
        return TernaryLinear(n_in, n_out, min(config.ternary_group, n_in))
    return nn.Linear(n_in, n_out, bias=False)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        queries = config.num_attention_heads * config.head_width
        keys = config.num_key_value_heads * config.head_width
        self.q_proj = _linear(config, config.hidden_size, queries)
        self.k_proj = _linear(config, config.hidden_size, keys)
        self.v_proj = _linear(config, config.hidden_size, keys)
        self.o_proj = _linear(config, queries, config.hidden_size)

    def forward(self, x_BTD: Tensor, turn: Tensor, who: Sight) -> Tensor:
        q_BHTE, k_BKTE, v_BKTE = (x.transpose(1, 2) for x in self._projected(x_BTD))
        y_BHTE = attend(self.config, rotate(q_BHTE, turn), rotate(k_BKTE, turn), v_BKTE, who)
        y_BTD: Tensor = self.o_proj(y_BHTE.transpose(1, 2).flatten(2))
        return y_BTD

    def read(self, x_ND: Tensor, reader: Reader) -> Tensor:
        """The same for packed tokens that follow what the reader holds."""
        y_ND: Tensor = self.o_proj(reader.attend(*self._projected(x_ND)).flatten(1))
        return y_ND

    def _projected(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values [..., heads, E]."""
        linears = (self.q_proj, self.k_proj, self.v_proj)
        return [linear(x).unflatten(-1, (-1, self.config.head_width)) for linear in linears]


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = _linear(config, config.hidden_size, config.intermediate_size)
        self.up_proj = _linear(config, config.hidden_size, config.intermediate_size)
        self.down_proj = _linear(config, config.intermediate_size, config.hidden_size)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y: Tensor = self.down_proj(functional.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = config.branch_scale
        self.input_layernorm = RMSNorm(config)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, turn: Tensor, who: Sight) -> Tensor:
        return self._add(x_BTD, self.self_attn(self.input_layernorm(x_BTD), turn, who))

    def read(self, x_ND: Tensor, reader: Reader) -> Tensor:
        return self._add(x_ND, self.self_attn.read(self.input_layernorm(x_ND), reader))

    def _add(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + attended * self.scale
        x = x + self.mlp(self.post_attention_layernorm(x)) * self.scale
        return x


class Trunk(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config)


class NextButOne(nn.Module):
    """Predicts the token after the next from a hidden state and the embedding of the next."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hidden_norm = RMSNorm(config)
        self.embed_norm = RMSNorm(config)
        self.join = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.block = Block(config)
        self.norm = RMSNorm(config)

    def forward(self, x_BTD: Tensor, next_BTD: Tensor, turn: Tensor, who: Sight) -> Tensor:
        joined = torch.cat([self.hidden_norm(x_BTD), self.embed_norm(next_BTD)], dim=-1)
        y_BTD = self.block(self.join(joined), turn, who)
        normed: Tensor = self.norm(y_BTD)
        return normed


class MiniCPM4(nn.Module):
    """`model(tokens, targets)` gives losses, for training; `model.logits(tokens)` gives logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        """Activation checkpointing: keep the input of each block, compute the rest twice."""
        self.model = Trunk(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.mtp:
            self.mtp = NextButOne(config)

    def forward(
        self, tokens_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Losses in nats, float32[B, T], 0 where the target is IGNORED.

        The second, if the model has `mtp`, is of the token after the next: target t + 1 of each
        row, where token t + 1 belongs to the same document.
        """
        length = tokens_BT.shape[1]
        who = sight(self.config, documents_BT)
        turn = rotation(self.config, 0, length, tokens_BT.device)
        x_BTD = self._embed(tokens_BT)
        embedded_BTD = x_BTD
        for block in self.model.layers:
            if self.recompute and torch.is_grad_enabled():
                x_BTD = checkpoint(block, x_BTD, turn, who, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, turn, who)
        losses = [self._losses(self.model.norm(x_BTD), targets_BT)]
        if self.config.mtp:
            # The last position has no next token in the row: it is computed, and ignored.
            next_BTD = embedded_BTD.roll(-1, dims=1)
            y_BTD = self.mtp(x_BTD, next_BTD, turn, who)
            losses.append(self._losses(y_BTD, after_next(targets_BT, documents_BT)))
        return tuple(losses)

    def logits(self, tokens_BT: Tensor) -> Tensor:
        """[B, T, V]"""
        length = tokens_BT.shape[1]
        who = sight(self.config, None)
        turn = rotation(self.config, 0, length, tokens_BT.device)
        x_BTD = self._embed(tokens_BT)
        for block in self.model.layers:
            x_BTD = block(x_BTD, turn, who)
        return self.head(self.model.norm(x_BTD))

    def states(self, tokens_N: Tensor, readers: Sequence[Reader]) -> Tensor:
        """The last states [N, D], normed, of packed tokens that follow what the readers hold."""
        x_ND = self._embed(tokens_N)
        for block, reader in zip(self.model.layers, readers, strict=True):
            assert isinstance(block, Block)
            x_ND = block.read(x_ND, reader)
        normed: Tensor = self.model.norm(x_ND)
        return normed

    def _embed(self, tokens_BT: Tensor) -> Tensor:
        embedded: Tensor = self.model.embed_tokens(tokens_BT)
        return embedded * self.config.scale_emb

    def _losses(self, normed_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """float32[B, T]; where activations are recomputed, all logits are never held at once."""
        rows_ND, targets_N = normed_BTD.flatten(0, 1), targets_BT.flatten()
        if self.recompute and torch.is_grad_enabled():
            parts = zip(
                torch.split(rows_ND, HEAD_TOKENS), torch.split(targets_N, HEAD_TOKENS), strict=True
            )
            losses = [checkpoint(self._nll, *part, use_reentrant=False) for part in parts]
            return torch.cat(losses).view_as(targets_BT).clone()
        # A copy, not a view: FSDP hooks the outputs, and a hook on a view can be lost.
        return self._nll(rows_ND, targets_N).view_as(targets_BT).clone()

    def _nll(self, normed_ND: Tensor, targets_N: Tensor) -> Tensor:
        logits_NV = self.head(normed_ND).float()
        return functional.cross_entropy(
            logits_NV, targets_N, ignore_index=IGNORED, reduction="none"
        )

    def head(self, normed_BTD: Tensor) -> Tensor:
        """Logits of normed states."""
        scaled = normed_BTD / self.config.width_ratio
        if self.config.tie_word_embeddings:
            return functional.linear(scaled, self.model.embed_tokens.weight)
        logits: Tensor = self.lm_head(scaled)
        return logits


def empty_model(config: ModelConfig) -> MiniCPM4:
    """A model whose weights are yet to be set, all of them: by `initialise`, or from a file."""
    with torch.device("meta"):
        model = MiniCPM4(config)
    return model.to_empty(device="cpu")


def after_next(targets_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
    """The target of the token after the next: IGNORED at the end of a row or of a document."""
    after = functional.pad(targets_BT[:, 1:], (0, 1), value=IGNORED)
    if documents_BT is not None:
        same = functional.pad(documents_BT[:, 1:] == documents_BT[:, :-1], (0, 1), value=False)
        after = torch.where(same, after, IGNORED)
    return after


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is one that muP scales with width: a matrix inside a block."""
    return parameter.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name


def initialise(model: MiniCPM4, seed: int) -> None:
    """muP: matrices have deviation `initializer_range` / sqrt(width ratio), embeddings without it.

    Each parameter has its own stream, by name, so that a head more or less changes no other.
    """
    deviation = model.config.initializer_range
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            nn.init.ones_(parameter)
            continue
        generator = torch.Generator().manual_seed(_seed_of(seed, name))
        scale = deviation
        if is_matrix(name, parameter):
            scale /= model.config.width_ratio**0.5
        drawn = torch.empty(parameter.shape).normal_(0.0, scale, generator=generator)
        with torch.no_grad():
            parameter.copy_(drawn)


def _seed_of(seed: int, name: str) -> int:

    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest(), "big")
