"""Masks personal data: e-mail and IP addresses, phone and card numbers, and identity numbers.

E-mail and IP addresses are found and replaced as datatrove 0.10.1's PIIFormatter does it, with which
FineWeb was made (with `kinds: [email, ip]` the text is the same). Deliberately different: its
replacements go round from document to document, so that they depend on what a worker saw before;
here they begin anew with each document. Numbers are replaced where their form and check digits leave
little doubt; a replacement is itself no one's: numbers for films, test cards, example addresses.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field, field_validator

from ultraclean.document import Batch
from ultraclean.stage import Map
from ultraclean.text import personal
from ultraclean.text.personal import Kind, NationalId, Span

REPLACEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email@example.com", "firstname.lastname@example.org"),
    "ip": (
        *("22.214.171.124", "126.96.36.199", "188.8.131.52"),
        *("184.108.40.206", "220.127.116.11", "18.104.22.168"),
    ),
    "ipv6": ("2001:db8::1", "2001:db8::2"),
    "card": ("4111 1111 1111 1111",),
    "iban": ("GB33BUKB20201555555555",),
    "phone": ("202-555-0147", "202-555-0182"),
    "us_ssn": ("987-65-4320", "987-65-4321"),
    "cn_id": ("110101190001010000",),
    "uk_nino": ("QQ123456C",),
    "es_dni": ("00000000A",),
}
ORDER: Final = tuple(REPLACEMENTS)
"""The kinds in the order in which they take characters: those with a check before phone numbers."""


class Pii(Map):
    """Personal data replaced by what is no one's."""

    stage: ClassVar[str] = "fix.pii"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = (
        "datatrove 0.10.1's PIIFormatter (FineWeb); ISO 7812, ISO 13616, GB 11643"
    )

    column: str = Field(default="text", description="column to mask")
    kinds: tuple[Kind, ...] = Field(
        default=("email", "ip", "card", "phone"),
        description="what is masked: email, ip, ipv6, card, iban, phone",
    )
    national_ids: tuple[NationalId, ...] = Field(
        default=(), description="whose identity numbers are masked: us_ssn, cn_id, uk_nino, es_dni"
    )
    unicode_emails: bool = Field(
        default=False,
        description="also e-mail addresses with letters of other alphabets, of which datatrove "
        "leaves all or the first part",
    )
    public_ips_only: bool = Field(
        default=True, description="leave addresses of private and reserved networks"
    )
    replacements: Mapping[str, tuple[str, ...]] = Field(
        default={},
        description="other replacements, kind -> texts that take turns within a document",
    )

    @field_validator("replacements")
    @classmethod
    def _known(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for kind, texts in value.items():
            if kind not in ORDER:
                raise ValueError(
                    f"{kind!r} is no kind of personal data; there are: {', '.join(ORDER)}"
                )
            if not texts:
                raise ValueError(f"{kind}: at least one replacement is needed")
        return value

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        return functools.partial(_masked, self.column, self._finders())

    def _finders(self) -> list[tuple[Finder, tuple[str, ...]]]:
        finders: dict[str, Finder] = {
            "email": functools.partial(personal.emails, unicode=self.unicode_emails),
            "ip": functools.partial(personal.ipv4, public_only=self.public_ips_only),
            "ipv6": functools.partial(personal.ipv6, public_only=self.public_ips_only),
            "card": personal.cards,
            "iban": personal.ibans,
            "phone": personal.phones,
            **personal.NATIONAL_IDS,
        }
        wanted = {*self.kinds, *self.national_ids}
        # phone numbers come last: the digits of all others may look like one
        order = sorted(ORDER, key=lambda kind: kind == "phone")
        texts = {**REPLACEMENTS, **self.replacements}
        return [(finders[kind], texts[kind]) for kind in order if kind in wanted]


Finder = Callable[[str], Iterator[Span]]


def _masked(column: str, finders: Sequence[tuple[Finder, tuple[str, ...]]], batch: Batch) -> Batch:
    before = batch[column].to_pylist()
    after = [text and masked(text, finders) for text in before]
    if after == before:
        return batch
    return batch.with_columns({column: pa.array(after, batch[column].type)})


def masked(text: str, finders: Sequence[tuple[Finder, tuple[str, ...]]]) -> str:
    """The text with what the finders find replaced; what one took is not shown to the next."""
    edits: list[tuple[int, int, str]] = []
    left = text
    for find, replacements in finders:
        found = list(find(left))
        turns = itertools.cycle(replacements)
        edits += [(start, stop, next(turns)) for start, stop in found]
        for start, stop in reversed(found):
            left = f"{left[:start]}{chr(0) * (stop - start)}{left[stop:]}"
    if not edits:
        return text
    pieces, done = [], 0
    for start, stop, replacement in sorted(edits):
        pieces += [text[done:start], replacement]
        done = stop
    return "".join([*pieces, text[done:]])
