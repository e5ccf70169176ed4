"""Takes dialogues out of records of the formats that people have: OpenAI messages, ShareGPT, Alpaca, UltraChat's.

Behind any reader that is told `text: null`, so that a whole record is in `metadata`. What is no dialogue goes,
with what is wrong with it; fields that are not of the format stay in `metadata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import orjson
import pyarrow as pa
from pydantic import Field

from ultrachat.dialogue import COLUMNS, Dialogue, problem
from ultrachat.formats import READERS, NotADialogue, format_of
from ultrachat.rows import prompt_of, text_of
from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter


class Read(Filter):
    stage: ClassVar[str] = "chat.read"
    main: ClassVar[str | None] = "format"
    paper: ClassVar[str] = "OpenAI chat completions; LLaMA-Factory's ShareGPT and Alpaca; UltraChat"
    reasons: ClassVar[tuple[str, ...]] = (
        "not_a_dialogue",
        "no_turns",
        "does_not_begin_with_user",
        "does_not_end_with_assistant",
        "turns_out_of_order",
        "empty_turn",
    )

    format: Literal["auto", "openai", "sharegpt", "alpaca", "ultrachat"] = Field(
        default="auto", description="how records are written; auto: told by their fields"
    )
    fields: dict[str, str] = Field(
        default={},
        description="the format's field -> the user's: {instruction: question, output: answer}",
    )
    track: str = Field(default="read", description="what the column `track` says of them")
    any_order: bool = Field(
        default=False, description="keep dialogues whose turns are not in the order of a chat, too"
    )

    def needs(self) -> tuple[str, ...]:
        return ("metadata",)

    def adds(self) -> Mapping[str, pa.DataType]:
        said = {name: COLUMNS[name] for name in ("messages", "tools", "track")}
        return {**said, "prompt": pa.string(), "text": pa.string(), "metadata": pa.string()}

    def open(self) -> Callable[[Batch], Decision]:
        return self._decide

    def _decide(self, batch: Batch) -> Decision:
        code = np.full(batch.num_rows, -1, dtype=np.int16)
        details: list[str | None] = [None] * batch.num_rows
        columns: dict[str, list[Any]] = {name: [] for name in self.adds()}
        for row, record in enumerate(batch["metadata"].to_pylist()):
            dialogue = None
            try:
                dialogue = self._dialogue(record)
                wrong = None if self.any_order else problem(dialogue)
            except NotADialogue as error:
                wrong, details[row] = "not_a_dialogue", str(error)
            if wrong is not None:
                code[row] = self.reasons.index(wrong)
            made = {} if dialogue is None else _columns(dialogue) | {"track": self.track}
            for name, values in columns.items():
                values.append(made.get(name, record if name == "metadata" else None))
        nothing = np.full(batch.num_rows, np.nan)
        arrays = {name: pa.array(columns[name], kind) for name, kind in self.adds().items()}
        detail = pa.array(details, pa.string())
        return Decision(self.reasons, code, nothing, nothing, columns=arrays, detail=detail)

    def _dialogue(self, record: str | None) -> Dialogue:
        fields = orjson.loads(record or "{}")
        for wanted, given in self.fields.items():
            if given not in fields:
                raise NotADialogue(
                    f"there is no field {given!r} (there is: {', '.join(sorted(fields)[:8])})"
                )
            fields[wanted] = fields.pop(given)
        try:
            return READERS[format_of(fields) if self.format == "auto" else self.format](fields)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, NotADialogue):
                raise
            message = f"a field is not as the format has it: {type(error).__name__}: {error}"
            raise NotADialogue(message) from None


def _columns(dialogue: Dialogue) -> dict[str, Any]:
    rest = orjson.dumps(dialogue.extra).decode() if dialogue.extra else None
    said = {"prompt": prompt_of(dialogue), "text": text_of(dialogue), "metadata": rest}
    return {**dialogue.row(), **said}
