"""Removes control and private-use characters, and makes one kind of space and of line end of many.

The first two cleaners of UltraData-Math's L1 tier (nobreakspace, clean_invisible_chars). Deliberately
different: every space of a width of its own becomes a blank (there all but two are deleted, which
joins words); zero-width joiners stay unless asked for, since Persian, Indic scripts and emoji are
written with them; separators of lines and pages become line ends; private use beyond the basic plane,
noncharacters and soft hyphens go too. Tab, LF, CR and the replacement character stay.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Map

CONTROLS: Final = r"\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}"
PRIVATE: Final = r"\x{e000}-\x{f8ff}\x{f0000}-\x{ffffd}\x{100000}-\x{10fffd}"
NONCHARACTERS: Final = r"\x{fdd0}-\x{fdef}" + "".join(
    rf"\x{{{plane:x}fffe}}\x{{{plane:x}ffff}}" for plane in range(17)
)
INVISIBLE: Final = r"\x{ad}\x{200b}\x{2060}-\x{2064}\x{feff}\x{fff9}-\x{fffb}"
DIRECTIONS: Final = r"\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{206f}"
JOINERS: Final = r"\x{200c}\x{200d}"
LINE_ENDS: Final = r"[\x0b\x0c\x{85}\x{2028}\x{2029}]"
SPACES: Final = r"[\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"


class Control(Map):
    """Text without what is not seen. Rows without such characters are not touched."""

    stage: ClassVar[str] = "fix.control"
    paper: ClassVar[str] = "UltraData-Math, L1 cleaner (nobreakspace, clean_invisible_chars)"

    column: str = Field(default="text", description="column to clean")
    controls: bool = Field(
        default=True,
        description="remove control characters (but tab, LF, CR); VT, FF, NEL, LS, PS become LF",
    )
    private_use: bool = Field(
        default=True, description="remove private-use characters and noncharacters"
    )
    invisible: bool = Field(
        default=True, description="remove soft hyphens, zero-width spaces and byte order marks"
    )
    directions: bool = Field(
        default=True, description="remove marks that set the direction of writing"
    )
    joiners: bool = Field(default=False, description="remove zero-width joiners and non-joiners")
    spaces: bool = Field(
        default=True, description="make a blank of spaces that do not break or are wide or thin"
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        gone = [
            characters
            for chosen, characters in (
                (self.controls, CONTROLS),
                (self.private_use, PRIVATE + NONCHARACTERS),
                (self.invisible, INVISIBLE),
                (self.directions, DIRECTIONS),
                (self.joiners, JOINERS),
            )
            if chosen
        ]
        edits = [(LINE_ENDS, "\n")] if self.controls else []
        edits += [(SPACES, " ")] if self.spaces else []
        edits += [(f"[{''.join(gone)}]", "")] if gone else []
        return functools.partial(_edited, self.column, tuple(edits))


def _edited(column: str, edits: tuple[tuple[str, str], ...], batch: Batch) -> Batch:
    before = after = batch[column]
    for pattern, replacement in edits:
        after = pc.replace_substring_regex(after, pattern, replacement)
    changed: pa.Array = after
    return batch if changed.equals(before) else batch.with_columns({column: changed})
