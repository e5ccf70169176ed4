"""Our own inference as a teacher: a checkpoint of the trainer, or a released MiniCPM4, in this process.

`ultraclean.train.inference` with InfLLM v2's kernels where a GPU has them. It knows temperature, top_p,
max_tokens, stop, seed and n; a choice is the likeliest of the given ones, and a schema or a pattern is only checked
afterwards. Without a seed the request itself gives one, so that an answer does not depend on who asked beside it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Final

from ultraclean import storage
from ultraclean.errors import UltracleanError
from ultraclean.llm.answers import checked
from ultraclean.llm.protocol import Request, Response, Sample, Sampling, TeacherError, Usage

if TYPE_CHECKING:
    from ultraclean.train.inference import Engine, Reading, Writing

KNOWN: Final = frozenset({"temperature", "top_p", "max_tokens", "stop", "seed"})
"""What of `Sampling` it can do."""


def unknown(sampling: Sampling) -> list[str]:
    """The fields of a sampling that are set and that this engine lacks."""
    return sorted(set(sampling.model_dump(exclude_none=True)) - KNOWN)


@dataclasses.dataclass
class _Asked:
    request: Request
    prompt: list[int]
    answer: asyncio.Future[Response]


class MiniCPM:
    """The engine. What waits is answered together, `places` sequences at once."""

    def __init__(self, folder: str, *, places: int = 32) -> None:
        self.folder, self.places = folder, places
        self._engine: Engine | None = None
        self._waiting: list[_Asked] = []
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        if self._running is not None:
            await self._running
        self._engine = None

    async def ask(self, request: Request) -> Response:
        lacking = [*unknown(request.sampling), *(["tools"] if request.tools else [])]
        lacking += ["logprobs"] if request.logprobs is not None else []
        if lacking:
            detail = f"engine minicpm has no {', '.join(lacking)}"
            return Response(problem="bad_request", detail=detail, model=self.folder)
        prompt = self._ids(request)
        choices = [len(self._encoded(one)) for one in _choices(request)]
        new = max(choices) if choices else request.sampling.max_tokens
        if len(prompt) + new > self._most:
            detail = f"{len(prompt)} tokens and {new} new ones, of {self._most}"
            return Response(problem="context_too_long", detail=detail, model=self.folder)
        asked = _Asked(request, prompt, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._run())
        return checked(await asked.answer, request)

    async def _run(self) -> None:
        while self._waiting:
            # requests that come in one go are answered in one go
            await asyncio.sleep(0)
            together, self._waiting = self._waiting, []
            try:
                answers = await asyncio.to_thread(self._answers, together)
            except Exception as error:
                for asked in together:
                    asked.answer.set_exception(TeacherError(f"{self.folder}: {error}"))
                continue
            for asked, answer in zip(together, answers, strict=True):
                asked.answer.set_result(answer)

    # --- in a thread --------------------------------------------------------------------------------

    def _load(self) -> None:
        import torch

        from ultraclean.train.convert import import_model
        from ultraclean.train.shards import load_tokenizer

        path = storage.join(self.folder, "tokenizer.json")
        try:
            if not storage.exists(path):
                raise TeacherError(f"{self.folder}: there is no tokenizer.json beside the model")
            model = import_model(self.folder, path)
            self._tokenizer = load_tokenizer(path)
        except UltracleanError as error:
            raise TeacherError(str(error)) from None
        self._model = model.cuda() if torch.cuda.is_available() else model.float()
        self._most = model.config.max_position_embeddings

    def _ids(self, request: Request) -> list[int]:
        from ultraclean.train.generate import prompt_ids

        turns = [{"role": m["role"], "content": str(m["content"])} for m in request.messages]
        return prompt_ids(self._tokenizer, turns)

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _answers(self, together: list[_Asked]) -> list[Response]:
        began = time.perf_counter()
        chosen = [asked for asked in together if _choices(asked.request)]
        free = [asked for asked in together if not _choices(asked.request)]
        pairs = [*self._written(free), *self._chosen(chosen)]
        written = {id(asked): samples for asked, samples in pairs}
        seconds = time.perf_counter() - began
        return [
            Response(
                tuple(Sample(text, finish) for text, finish, _ in written[id(asked)]),
                model=self.folder,
                usage=Usage(len(asked.prompt), sum(n for _, _, n in written[id(asked)])),
                seconds=seconds,
            )
            for asked in together
        ]

    def _written(self, several: list[_Asked]) -> list[tuple[_Asked, list[tuple[str, str, int]]]]:
        """(text, finish, tokens) of each sample."""
        from ultraclean.train.generate import end_ids
        from ultraclean.train.inference import Writing

        stop = end_ids(self._tokenizer)
        requests: list[Writing] = []
        for asked in several:
            how = asked.request.sampling
            seed = int(asked.request.key("")[:8], 16) if how.seed is None else how.seed
            requests += [
                Writing(asked.prompt, how.max_tokens, how.temperature, how.top_p or 1.0, seed + n, stop)
                for n in range(asked.request.n)
            ]  # fmt: skip
        ids = iter(self._opened(requests).write(requests) if requests else ())
        return [
            (asked, [self._sample(next(ids), asked.request) for _ in range(asked.request.n)])
            for asked in several
        ]

    def _sample(self, ids: list[int], request: Request) -> tuple[str, str, int]:
        how = request.sampling
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        cuts = [at for one in how.stop if (at := text.find(one)) >= 0]
        if cuts:
            return text[: min(cuts)], "stop", len(ids)
        return text, "length" if len(ids) == how.max_tokens else "stop", len(ids)

    def _chosen(self, several: list[_Asked]) -> list[tuple[_Asked, list[tuple[str, str, int]]]]:
        """The likeliest of the choices, as often as samples are asked for."""
        from ultraclean.train.inference import Reading

        requests: list[Reading] = []
        for asked in several:
            for choice in _choices(asked.request):
                requests.append(Reading(asked.prompt, self._encoded(choice)))
        scores = iter(self._opened(requests).read(requests) if requests else ())
        found = []
        for asked in several:
            choices = _choices(asked.request)
            nats = [next(scores).nats for _ in choices]
            best = choices[nats.index(max(nats))]
            found.append((asked, [(best, "stop", 1)] * asked.request.n))
        return found

    def _opened(self, requests: list[Writing] | list[Reading]) -> Engine:
        """An engine with room for the longest; one with too little makes way for a larger."""
        from ultraclean.train.inference import Engine

        longest = max(request.longest for request in requests)
        if self._engine is None or self._engine.room < longest:
            room = min(self._most, 1 << (longest - 1).bit_length())
            self._engine = Engine(self._model, places=self.places, room=max(room, longest))
        return self._engine


def _choices(request: Request) -> tuple[str, ...]:
    return (request.constraint and request.constraint.choice) or ()
