"""Makes a thread of a forum of a document: questions and answers over several turns, or a debate.

MiniCPM4's forum paradigm (arXiv 2506.07900, section 2.2) and UltraData-Math's L3 task `conversation`.
Those who write have roles and no names, so that a name that the source lacks is an invention.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ultraclean.llm import Play
from ultraclean.llm.asking import Page
from ultraclean.llm.schema import record, text
from ultraclean.stages.refine.written import Draft, Unwritten, Varied, value


class Forum(Varied):
    stage: ClassVar[str] = "refine.forum"
    task: ClassVar[str] = "forum"
    kind: ClassVar[str] = "form"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.2: forum paradigm"
    asks: ClassVar[tuple[str, ...]] = ("forum",)

    forms: tuple[str, ...] = Field(
        default=("questions", "debate"),
        min_length=1,
        description="forms; another one is a file form_NAME.LANGUAGE.md in the folder `prompts`",
    )
    min_posts: int = Field(default=4, ge=2, description="a thread of fewer posts is no thread")
    max_posts: int = Field(default=12, ge=2, description="posts at most")

    def ways(self) -> tuple[str, ...]:
        return self.forms

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        fields = {
            "form": self.described(page, variant),
            "least": self.min_posts,
            "most": self.max_posts,
            "document": page.text,
        }
        post = record(role=text(40), text=text(4000))
        posts = {"type": "array", "items": post, "minItems": 2, "maxItems": self.max_posts}
        schema = record(title=text(200), posts=posts)
        (response,) = yield [self.ask(page, "forum", fields, schema=schema)]
        thread = value(response)
        said = [(one["role"].strip(), one["text"].strip()) for one in thread["posts"]]
        if len(said) < self.min_posts:
            raise Unwritten(f"too_few_posts: {len(said)}")
        if len({role for role, _ in said}) < 2:
            raise Unwritten(f"one_voice: {said[0][0]}")
        if len({post for _, post in said}) < len(said):
            raise Unwritten("repeats: the same post twice")
        colon = "：" if page.language == "zh" else ": "
        lines = [thread["title"].strip(), *(f"{role}{colon}{post}" for role, post in said)]
        return Draft("\n\n".join(lines), response, more={"n_posts": len(said)})
