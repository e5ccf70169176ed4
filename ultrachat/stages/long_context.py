"""Questions on one document, answered among many others that a search takes for relevant.

UltraChat v2, the long-context track (MiniCPM4, arXiv 2506.07900; LongAlign, arXiv 2401.18058): the teacher
writes questions on a document; documents that an index finds for the question are put around it, the
document itself at a random place, until a length is reached that is uniform between two bounds. Kept
only if the teacher fails without the document and succeeds with it: both are decided by the words of
the short answer, not by a judge.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from ultrachat.checks.answer import check_prose, words_of
from ultrachat.checks.verdict import PASS, Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.library import library
from ultrachat.rows import Made, failed, rejected
from ultrachat.track import Page, Track, listed, record, text
from ultraclean import storage
from ultraclean.llm import Play, Response
from ultraclean.stage import ModelRef

MOST_DISTRACTORS = 1000


class LongContext(Track):
    stage: ClassVar[str] = "chat.long_context"
    track: ClassVar[str] = "long_context"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2; LongAlign (2401.18058)"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers",)
    asks: ClassVar[tuple[str, ...]] = ("long_question", "long_without", "long_answer")
    numbers: ClassVar[Mapping[str, pa.DataType]] = {
        "context_tokens": pa.float64(),
        "wanted_tokens": pa.float64(),
    }

    index: Annotated[str, ModelRef()] = Field(
        description="a table made by fit.index, or its folder"
    )
    tokenizer: Annotated[str | None, ModelRef()] = Field(
        default=None,
        description="a tokenizer.json, its folder or table, to count with; none: four bytes a token",
    )
    n_questions: int = Field(default=2, ge=1, description="questions per document")
    min_tokens: int = Field(default=8_192, ge=16, description="length of all documents at least")
    max_tokens: int = Field(default=65_536, ge=16, description="and at most")
    fails_without: bool = Field(
        default=True, description="drop what the teacher knows without the document"
    )
    max_document_share: float = Field(
        default=0.5, gt=0, le=1, description="part of the length that the document itself may take"
    )

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        each = record(question=text(400, 8), answer=text(120))
        fields = {"n": self.n_questions, "document": page.text}
        schema = listed("questions", each, self.n_questions)
        (response,) = yield [self.ask(page, "long_question", fields, schema=schema)]
        if response.value is None:
            return [failed(page.row, response)]
        made = []
        for number, one in enumerate(response.value["questions"]):
            question, gold = one["question"].strip(), one["answer"].strip()
            made.append((yield from self._question(page, number, question, gold)))
        return made

    def _question(self, page: Page, number: int, question: str, gold: str) -> Play[Made]:
        verdict = check_prose(question, page.language, min_chars=8, max_chars=400)
        if verdict.ok and not answers(page.whole, gold):
            verdict = Verdict("not_in_document", gold[:100])
        if not verdict.ok:
            return rejected(page.row, verdict)
        context, length, wanted, place = self._context(page, number, question)
        numbers = {"context_tokens": float(length), "wanted_tokens": float(wanted)}
        if not self.min_tokens <= length <= self.max_tokens:
            return rejected(page.row, Verdict("too_few_distractors", f"{length} tokens"), **numbers)
        if self.fails_without:
            (without,) = yield [self.ask(page, "long_without", {"question": question}, number)]
            if any(answers(sample.text, gold) for sample in without.good):
                return rejected(page.row, Verdict("known_without"), **numbers)
            if not without.good:
                return failed(page.row, without)
        asked = self.ask(page, "long_answer", {"context": context, "question": question}, number)
        (reply,) = yield [asked]
        return self._judged(page, question, gold, context, reply, numbers, place)

    def _judged(
        self,
        page: Page,
        question: str,
        gold: str,
        context: str,
        reply: Response,
        numbers: dict[str, float],
        place: tuple[int, int],
    ) -> Made:
        if reply.text is None:
            return failed(page.row, reply)
        verdict = check_prose(reply.text, page.language, max_chars=4000)
        if verdict.reason == "mentions_source":  # here the documents are at hand
            verdict = PASS
        if verdict.ok and not answers(reply.text, gold):
            verdict = Verdict("wrong", f"{reply.text[:100]} is not {gold}")
        if not verdict.ok:
            return rejected(page.row, verdict, **numbers)
        checks = {"fails_without": self.fails_without, "succeeds_with": True, "in_document": True}
        proof = self.proof(page, reply, self.asks, checks, gold=gold, place=list(place), **numbers)
        dialogue = Dialogue(
            (Turn("user", f"{context}\n\n{question}"), Turn("assistant", reply.text.strip()))
        )
        return Made(page.row, dialogue, page.language, proof, numbers=numbers)

    def _context(
        self, page: Page, number: int, question: str
    ) -> tuple[str, int, int, tuple[int, int]]:
        """The documents as one text, its length, the length drawn, and (place, number of documents)."""
        rng = page.rng(100 + number)
        count = self._counter()
        wanted = rng.randint(self.min_tokens, max(self.min_tokens, self.max_tokens))
        mine = _head(page.whole, int(wanted * self.max_document_share), count)
        room = wanted - count(mine)
        around: list[str] = []
        for found in library(self.index).find(question, MOST_DISTRACTORS):
            if found.text[:200] == page.whole[:200]:
                continue
            piece = _head(found.text, room, count)
            if not piece:
                break
            around.append(piece)
            room -= count(piece)
            if room <= 0:
                break
        place = rng.randint(0, len(around))
        rng.shuffle(around)
        around.insert(place, mine)
        context = "\n\n".join(around)
        return context, count(context), wanted, (place, len(around))

    def _counter(self) -> Callable[[str], int]:
        if self.tokenizer is None:
            return lambda said: len(said.encode("utf-8", "replace")) // 4
        encoding = _tokenizer(storage.expand(self.tokenizer))
        return lambda said: len(encoding.encode(said, add_special_tokens=False).ids)


def answers(said: str, gold: str) -> bool:
    """Whether all words of the short answer stand one after the other in what was said."""
    wanted, words = words_of(gold), words_of(said)
    if not wanted:
        return False
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _head(said: str, most: int, count: Callable[[str], int]) -> str:
    """The beginning of a text, at most so many tokens, found by halving."""
    if most <= 0 or count(said) <= most:
        return said if most > 0 else ""
    low, high = 0, len(said)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(said[:middle]) <= most else (low, middle - 1)
    return said[:low]


@functools.lru_cache(maxsize=4)
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    if not path.endswith(".json"):
        path = storage.join(path, "tokenizer.json")
    return Tokenizer.from_buffer(storage.read_bytes(path))
