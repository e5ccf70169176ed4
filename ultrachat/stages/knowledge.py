"""Questions on the knowledge of a document, in many wordings, with answers in many styles.

UltraChat v2, the knowledge track (MiniCPM4, arXiv 2506.07900): knowledge points are taken from curated
documents, questions are written on each, rewritten (instruction evolution), and answered in several
ways (answer-diversity evolution). The report names no checks; here an answer must be prose in the right
language that refuses nothing and does not loop, must be about its point, and must differ from the
answers that the question already has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field

from ultrachat.checks.answer import alike, check_prose, overlap
from ultrachat.checks.verdict import Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.track import Page, Track, listed, text
from ultraclean.llm import Play, Response

WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "as a situation from daily life in which the question comes up",
        "so that it asks for the reason behind",
        "so that it asks for a comparison",
        "short and casual, as in a chat message",
        "so that it asks for an example",
        "from the point of view of a beginner",
    ),
    "zh": (
        "改成日常生活中会遇到这个问题的场景",
        "改为追问背后的原因",
        "改为要求进行比较",
        "改成聊天中的简短口语",
        "改为要求举例说明",
        "从初学者的角度提问",
    ),
}
STYLES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "a short and direct answer",
        "an explanation step by step",
        "an explanation to a child, with an everyday comparison",
        "a textbook paragraph with the terms defined",
        "a list of the main points",
        "a conversational answer that ends with something to think about",
    ),
    "zh": (
        "简短直接的回答",
        "分步骤的讲解",
        "用生活中的比喻讲给孩子听",
        "教科书式的段落，并解释术语",
        "列出要点",
        "口语化的回答，结尾留一个思考",
    ),
}


@dataclass(frozen=True)
class _Asked:
    point: str
    question: str
    way: str | None = None


class Knowledge(Track):
    stage: ClassVar[str] = "chat.knowledge"
    track: ClassVar[str] = "knowledge"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: knowledge"
    asks: ClassVar[tuple[str, ...]] = (
        "knowledge_points",
        "knowledge_question",
        "question_evolve",
        "answer",
    )
    numbers: ClassVar[Mapping[str, pa.DataType]] = {"point_overlap": pa.float64()}

    n_points: int = Field(default=3, ge=1, description="knowledge points per document at most")
    n_questions: int = Field(default=1, ge=1, description="questions per point")
    n_evolved: int = Field(default=1, ge=0, le=6, description="rewritten questions per question")
    n_answers: int = Field(
        default=2, ge=1, le=6, description="answers per question, each in a style"
    )
    min_overlap: float | None = Field(
        default=0.3, ge=0, le=1, description="content words of the point that an answer must have"
    )
    max_alike: float | None = Field(
        default=0.6, ge=0, le=1, description="two answers to one question may share so much"
    )
    min_chars: int = Field(default=20, ge=1, description="length of an answer at least")
    max_answer_chars: int = Field(default=8000, ge=1, description="and at most")

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        schema = listed("points", text(400, 10), self.n_points)
        fields = {"n": self.n_points, "document": page.text}
        (response,) = yield [self.ask(page, "knowledge_points", fields, schema=schema)]
        if response.value is None:
            return [failed(page.row, response)]
        asked, bad = yield from self._questions(page, response.value["points"])
        asked += yield from self._evolved(page, asked)
        sound = []
        for one in asked:
            verdict = check_prose(one.question, page.language, min_chars=5, max_chars=1000)
            if verdict.ok:
                sound.append(one)
            else:
                wrong = Verdict("bad_question", f"{verdict.reason}: {one.question}")
                bad.append(rejected(page.row, wrong))
        return bad + (yield from self._answered(page, sound))

    def _questions(self, page: Page, points: list[str]) -> Play[tuple[list[_Asked], list[Made]]]:
        points = list(dict.fromkeys(points))
        schema = listed("questions", text(300, 5), self.n_questions)
        told = [{"point": one, "n": self.n_questions, "document": page.text} for one in points]
        replies = yield [
            self.ask(page, "knowledge_question", fields, number, schema=schema)
            for number, fields in enumerate(told)
        ]
        bad = [failed(page.row, reply) for reply in replies if reply.value is None]
        asked = [
            _Asked(point, question)
            for point, reply in zip(points, replies, strict=True)
            if reply.value is not None
            for question in dict.fromkeys(reply.value["questions"])
        ]
        return asked, bad

    def _evolved(self, page: Page, asked: list[_Asked]) -> Play[list[_Asked]]:
        """Rewritten questions; what comes of a bad one is no loss, since the first stays."""
        rng = page.rng(1)
        ways = [rng.sample(WAYS[page.language], self.n_evolved) for _ in asked]
        pairs = [(one, way) for one, each in zip(asked, ways, strict=True) for way in each]
        replies = yield [
            self.ask(page, "question_evolve", {"question": one.question, "way": way}, number)
            for number, (one, way) in enumerate(pairs)
        ]
        return [
            _Asked(one.point, reply.text.strip(), way)
            for (one, way), reply in zip(pairs, replies, strict=True)
            if reply.text is not None
        ]

    def _answered(self, page: Page, asked: list[_Asked]) -> Play[list[Made]]:
        rng = page.rng(2)
        styles = [rng.sample(STYLES[page.language], self.n_answers) for _ in asked]
        wanted = [
            {"question": one.question, "style": style, "document": page.text}
            for one, each in zip(asked, styles, strict=True)
            for style in each
        ]
        replies = yield [
            self.ask(page, "answer", fields, number) for number, fields in enumerate(wanted)
        ]
        made = []
        for at, one in enumerate(asked):
            given: list[str] = []
            mine = slice(at * self.n_answers, (at + 1) * self.n_answers)
            for reply, style in zip(replies[mine], styles[at], strict=True):
                attempt = self._judged(page, one, style, reply, given)
                if attempt.dialogue is not None:
                    given.append(attempt.dialogue.turns[-1].content)
                made.append(attempt)
        return made

    def _judged(
        self, page: Page, asked: _Asked, style: str, reply: Response, given: list[str]
    ) -> Made:
        if reply.text is None:
            return failed(page.row, reply)
        answer = reply.text.strip()
        shared = overlap(answer, asked.point)
        verdict = check_prose(
            answer, page.language, min_chars=self.min_chars, max_chars=self.max_answer_chars
        )
        if verdict.ok and self.min_overlap is not None and shared < self.min_overlap:
            verdict = Verdict("off_point", f"{shared:.2f} of the words of: {asked.point}")
        if verdict.ok and self.max_alike is not None:
            most = max((alike(answer, other) for other in given), default=0.0)
            if most > self.max_alike:
                verdict = Verdict("answers_alike", f"{most:.2f}")
        if not verdict.ok:
            return rejected(page.row, verdict, point_overlap=shared)
        checks = {"prose": True, "point_overlap": round(shared, 4), "differs": True}
        used = [name for name in self.asks if asked.way or name != "question_evolve"]
        proof = self.proof(page, reply, used, checks, point=asked.point, way=asked.way, style=style)
        dialogue = Dialogue((Turn("user", asked.question), Turn("assistant", answer)))
        return Made(page.row, dialogue, page.language, proof, numbers={"point_overlap": shared})
