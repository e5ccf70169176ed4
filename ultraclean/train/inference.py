"""Inference: requests of different lengths, read and written together over caches of fixed size.

An `Engine` has places, each with room for one sequence. Prompts are read in chunks beside the
sequences that already write, so a long prompt holds nobody up; a place that falls free takes the
next request. On a GPU a step in which every place writes one token is recorded once as a CUDA graph
and replayed. Attention, dense or InfLLM v2, is `ultrakernels.sparse_attention_cache`: its CUDA
kernels where they run, its PyTorch reference elsewhere.

A sequence is dense or sparse by its length so far, a prompt by its whole length; so the answer does
not depend on how a prompt is cut, nor on who shares the batch (but for the rounding of sums).
LongRoPE's factors are chosen once, by the room of a place, as vLLM chooses them.
"""

# ruff: noqa: N803, N806 -- a tensor's name ends in its shape

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional
from ultrakernels import sparse_attention_cache as caching
from ultrakernels import sparse_attention_ops as ops
from ultrakernels.sparse_attention import SparseConfig

from ultraclean.errors import DataError
from ultraclean.train.attention import rotation
from ultraclean.train.config import ModelConfig
from ultraclean.train.model import MiniCPM4

NEVER = 2**31 - 1
"""The `dense_len` of a model whose attention is dense."""

HEAD_ROWS = 4096
"""Rows whose logits are held at once."""


@dataclass(frozen=True)
class Writing:
    """A prompt to go on from: greedy at temperature 0; a stop id ends it and is not returned."""

    prompt: Sequence[int]
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: Sequence[int] = ()

    @property
    def longest(self) -> int:
        return len(self.prompt) + self.max_tokens


@dataclass(frozen=True)
class Reading:
    """A context, which may not be empty, and the continuation whose probability is asked for."""

    context: Sequence[int]
    continuation: Sequence[int]

    @property
    def longest(self) -> int:
        return len(self.context) + len(self.continuation) - 1


@dataclass(frozen=True)
class Scored:
    """A continuation: its log-likelihood in nats, and whether each token was the likeliest."""

    nats: float
    greedy: bool


@dataclass
class _Sequence:
    """What occupies a place: ids of which the first `read` are in the cache."""

    number: int
    request: Writing | Reading
    ids: list[int]
    generator: torch.Generator | None = None
    read: int = 0
    written: list[int] = field(default_factory=list)
    nats: float = 0.0
    greedy: bool = True

    @property
    def wanted_from(self) -> int:
        """The first position whose next token is asked for."""
        given = self.request.prompt if isinstance(self.request, Writing) else self.request.context
        return len(given) - 1

    @property
    def done(self) -> bool:
        if isinstance(self.request, Reading):
            return self.read == len(self.ids)
        ended = len(self.ids) == self.read and self.read > self.wanted_from
        return ended or len(self.written) == self.request.max_tokens


class Engine:
    """`write` and `read` requests in batches; one engine may be used again and again.

    `places` sequences of up to `room` tokens are held at once; `chunk` is how many tokens of prompts
    one step reads at most. The cache has the type of the model's weights unless `dtype` is given.
    """

    def __init__(
        self,
        model: MiniCPM4,
        *,
        places: int,
        room: int,
        chunk: int = 4096,
        dtype: torch.dtype | None = None,
    ) -> None:
        longest = model.config.max_position_embeddings
        if room > longest:
            raise DataError(f"room for {room} tokens is beyond the model's {longest}")
        weights = next(model.parameters())
        self.model = model
        self.places, self.room, self.chunk = places, room, chunk
        self.device = weights.device
        blocks = _blocks(model.config)
        caches = [
            caching.new_cache(
                places,
                room,
                model.config.num_key_value_heads,
                model.config.head_width,
                config=blocks,
                dtype=dtype or weights.dtype,
                device=self.device,
            )
            for _ in range(model.config.num_hidden_layers)
        ]
        self._layers = [
            _Layer(cache, blocks, _turn(model.config, room, cache.room, self.device))
            for cache in caches
        ]
        query = caches[0].k.new_empty(1, model.config.num_attention_heads, model.config.head_width)
        self._recorded = None
        if ops.why_not(query, model.config.num_key_value_heads, blocks) is None:
            self._recorded = _Recorded(self)

    @torch.inference_mode()
    def write(self, requests: Sequence[Writing]) -> list[list[int]]:
        """The ids that follow each prompt."""
        return [sequence.written for sequence in self._run(requests)]

    @torch.inference_mode()
    def read(self, requests: Sequence[Reading]) -> list[Scored]:
        """The log-likelihood of each continuation."""
        return [Scored(one.nats, one.greedy) for one in self._run(requests)]

    def _run(self, requests: Sequence[Writing | Reading]) -> list[_Sequence]:
        sequences = [self._new(number, one) for number, one in enumerate(requests)]
        waiting = deque(one for one in sequences if not one.done)
        at: list[_Sequence | None] = [None] * self.places
        while waiting or any(at):
            for place, one in enumerate(at):
                if one is None and waiting:
                    at[place] = waiting.popleft()
            fed = self._next_tokens(at)
            self._consume(at, fed, self._step(at, fed))
            at = [None if one is None or one.done else one for one in at]
        for layer in self._layers:
            layer.cache.check()
        return sequences

    def _new(self, number: int, request: Writing | Reading) -> _Sequence:
        given = request.prompt if isinstance(request, Writing) else request.context
        if not given:
            raise DataError(f"request {number}: at least one token must come before")
        if request.longest > self.room:
            raise DataError(
                f"request {number} needs {request.longest} tokens, beyond the room of {self.room}"
            )
        if isinstance(request, Reading):
            ids = [*request.context, *request.continuation][:-1]
            # Without a continuation nothing is asked, and nothing has to be read.
            return _Sequence(number, request, ids, read=0 if request.continuation else len(ids))
        generator = torch.Generator(self.device).manual_seed(request.seed)
        return _Sequence(number, request, list(request.prompt), generator)

    def _next_tokens(self, at: Sequence[_Sequence | None]) -> list[list[int]]:
        """What each place is fed: its last token if it writes, else the next piece of its prompt."""
        left = self.chunk
        fed: list[list[int]] = []
        for one in at:
            rest = [] if one is None else one.ids[one.read :]
            piece = rest if len(rest) == 1 else rest[:left]
            left -= len(piece) if len(rest) > 1 else 0
            fed.append(piece)
        return fed

    def _step(self, at: Sequence[_Sequence | None], fed: Sequence[Sequence[int]]) -> Tensor:
        """Feeds every place its tokens: the last states [tokens fed, D], normed."""
        lengths = [(one.read if one else 0) + len(new) for one, new in zip(at, fed, strict=True)]
        if self._recorded is not None and all(len(new) <= 1 for new in fed):
            tokens = [new[0] if new else 0 for new in fed]
            states = self._recorded.replay(tokens, [max(length, 1) for length in lengths])
            return states[[place for place, new in enumerate(fed) if new]]
        tokens = [token for new in fed for token in new]
        bounds = [0, *accumulate(len(new) for new in fed)]
        whole = [len(one.ids) if one else 0 for one in at]
        return self._states(
            self._int(tokens, torch.long),
            _Fed(
                self._int(bounds),
                self._int(lengths),
                self._int(whole),
                max(len(new) for new in fed),
            ),
        )

    def _states(self, tokens_N: Tensor, fed: _Fed) -> Tensor:
        for layer in self._layers:
            layer.fed = fed
        return self.model.states(tokens_N, self._layers)

    def _consume(
        self, at: Sequence[_Sequence | None], fed: Sequence[Sequence[int]], states_ND: Tensor
    ) -> None:
        """Looks at the rows that were asked for: the next token, or the probability of the given one."""
        rows: list[int] = []
        owners: list[tuple[_Sequence, int]] = []
        row = 0
        for one, new in zip(at, fed, strict=True):
            if one is not None:
                first = max(one.wanted_from, one.read)
                stop = one.read + len(new)
                if isinstance(one.request, Writing):
                    first = max(first, stop - 1)
                rows += [row + position - one.read for position in range(first, stop)]
                owners += [(one, position) for position in range(first, stop)]
                one.read = stop
            row += len(new)
        for start in range(0, len(rows), HEAD_ROWS):
            part = self._int(rows[start : start + HEAD_ROWS], torch.long)
            logits_NV = self.model.head(states_ND[part]).float()
            _take(owners[start : start + HEAD_ROWS], logits_NV)

    def _int(self, numbers: Sequence[int], kind: torch.dtype = torch.int32) -> Tensor:
        return torch.tensor(numbers, dtype=kind, device=self.device)


def _take(owners: Sequence[tuple[_Sequence, int]], logits_NV: Tensor) -> None:
    likeliest = logits_NV.argmax(dim=-1).tolist()
    asked = [
        one.request.continuation[position - one.wanted_from]
        if isinstance(one.request, Reading)
        else 0
        for one, position in owners
    ]
    targets = torch.tensor(asked, device=logits_NV.device)
    losses = functional.cross_entropy(logits_NV, targets, reduction="none").tolist()
    for row, (one, _) in enumerate(owners):
        if isinstance(one.request, Reading):
            one.nats -= losses[row]
            one.greedy &= likeliest[row] == asked[row]
            continue
        token = likeliest[row]
        if one.request.temperature > 0 and one.generator is not None:
            token = choose(
                logits_NV[row], one.request.temperature, one.request.top_p, one.generator
            )
        if token not in one.request.stop:
            one.written.append(token)
            one.ids.append(token)


def choose(logits_V: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """One id: the likeliest, or a draw from the likeliest ids that together have `top_p`."""
    if temperature == 0:
        return int(logits_V.argmax())
    probability, order = (logits_V / temperature).softmax(dim=-1).sort(descending=True, stable=True)
    before = probability.cumsum(dim=-1) - probability
    probability = probability.masked_fill(before >= top_p, 0.0)
    probability[0] = probability[0].clamp(min=1e-30)  # top_p 0 is the likeliest
    return int(order[torch.multinomial(probability, 1, generator=generator)])


@dataclass(frozen=True)
class _Fed:
    """Packed new tokens: of place s rows bounds[s] to bounds[s + 1], at most `longest` of each.

    `lengths` count them already; `whole` are the lengths by which a place is dense or sparse.
    """

    bounds: Tensor
    lengths: Tensor
    whole: Tensor
    longest: int


@dataclass
class _Layer:
    """The keys and values of one layer, as the model's attention asks for them."""

    cache: caching.LayerCache
    blocks: SparseConfig
    turn: tuple[Tensor, Tensor]
    fed: _Fed | None = None

    def attend(self, q_NHE: Tensor, k_NKE: Tensor, v_NKE: Tensor) -> Tensor:
        """Rotates, keeps keys and values, attends: [N, H, E] in the type of the queries."""
        assert self.fed is not None
        kind = self.cache.k.dtype
        y_NHE = caching.attend_cached(
            q_NHE.to(kind),
            k_NKE.to(kind),
            v_NKE.to(kind),
            self.cache,
            self.fed.lengths,
            config=self.blocks,
            cu_seqlens=self.fed.bounds,
            longest_q=self.fed.longest,
            decide_lens=self.fed.whole,
            rotation=self.turn,
        )
        return y_NHE.to(q_NHE.dtype)


class _Recorded:
    """One decoding step of all places, as a CUDA graph; free places write nonsense to themselves."""

    def __init__(self, engine: Engine) -> None:
        places = engine.places
        self.tokens = torch.zeros(places, dtype=torch.long, device=engine.device)
        self.lengths = torch.ones(places, dtype=torch.int32, device=engine.device)
        bounds = torch.arange(places + 1, dtype=torch.int32, device=engine.device)
        self.fed = _Fed(bounds, self.lengths, self.lengths, 1)
        self.engine = engine
        self.graph: torch.cuda.CUDAGraph | None = None
        self.states: Tensor | None = None

    def replay(self, tokens: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """The states [places, D] after one token each; `lengths` count it already."""
        self.tokens.copy_(torch.tensor(tokens))
        self.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))
        if self.tokens.device.type != "cuda":
            return self._step()
        if self.graph is None or self.states is None:
            self.graph, self.states = self._record()
        self.graph.replay()
        return self.states

    def _step(self) -> Tensor:
        return self.engine._states(self.tokens, self.fed)

    def _record(self) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        # Steps on a side stream first: kernels are built and buffers found outside of the graph.
        # They write what the graph will write again.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            states = self._step()
        return graph, states


def _blocks(config: ModelConfig) -> SparseConfig:
    if config.blocks is None:
        return SparseConfig(dense_len=NEVER)
    return SparseConfig(**config.blocks.model_dump())


def _turn(config: ModelConfig, room: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [rows, E / 2] of the positions of a place; rows beyond its room are unused."""
    half = config.head_width // 2
    cosines, sines = functional.pad(
        rotation(config, 0, room, device)[..., :half], (0, 0, 0, rows - room)
    )
    return cosines.contiguous(), sines.contiguous()
