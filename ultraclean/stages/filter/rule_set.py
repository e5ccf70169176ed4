"""What filters share whose rules several systems publish, each in its own reading: a dialect.

A dialect says how things are measured, in which order the rules are asked, and what the fields are
where they are not given. Filters that split text into words or sentences share the choice of the
splitter and what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from ultraclean.errors import MissingExtra
from ultraclean.stage import Filter, Rule
from ultraclean.text.words import WordSplitter


class Splits(Filter):
    """A filter with a splitter, which may need a package of its own."""

    extras: ClassVar[Mapping[str, str]] = {
        "spacy": '"ultraclean-data[datatrove]"',
        "uniseg": '"ultraclean-data[dclm]"',
    }

    @property
    def splitter(self) -> str:
        """The splitter: one that needs a package has its name."""
        raise NotImplementedError

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def missing_extras(self) -> list[MissingExtra]:
        return [missing for missing in super().missing_extras() if missing.module == self.splitter]

    def distributions(self) -> tuple[str, ...]:
        return (self.splitter,) if self.splitter in self.extras else ()


class SplitsWords(Splits):
    words: WordSplitter = Field(
        default="whitespace",
        description="what a word is: `whitespace` splits on white space; `spacy` gives the tokens "
        "that datatrove sees, `uniseg` the words between Unicode's boundaries that DCLM sees",
    )

    @property
    def splitter(self) -> str:
        return self.words


class RuleSet(Splits):
    """A filter with a field `dialect`."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Dialect -> the fields whose default is another there than in the first dialect."""

    @model_validator(mode="before")
    @classmethod
    def _dialect_fills_in(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("dialect"), str):
            return values
        return {**cls.defaults.get(values["dialect"], {}), **values}

    def written(self) -> dict[str, Any]:
        own = self.defaults.get(getattr(self, "dialect"), {})  # noqa: B009 (subclasses declare it)
        fields = super().written()
        every = self.model_dump(mode="json")
        fields |= {name: every[name] for name in own}
        return {name: v for name, v in fields.items() if name not in own or v != own[name]}


def in_order(rules: list[Rule], order: tuple[str, ...]) -> list[Rule]:
    """The rules that a dialect has, in the order in which it asks them."""
    by_reason = {rule.reason: rule for rule in rules}
    return [by_reason[reason] for reason in order]
