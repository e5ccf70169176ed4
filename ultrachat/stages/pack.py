"""Makes training shards of dialogues: MiniCPM4's chat template, with the loss on what the assistant says.

Tools stand in the system turn as JSON, thoughts and calls between MiniCPM4's marks (the record of
MiniCPM4-MCP). Dialogues are packed whole, best fit, and those longer than a sample are counted and left
out. Encoded dialogues are held in memory: a set for fine-tuning, not a corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ultrachat.dialogue import Dialogue, of_row
from ultrachat.formats import to_mcp
from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, ModelRef, Rows, TableRef


class Pack(Artifact):
    stage: ClassVar[str] = "chat.pack"
    main: ClassVar[str | None] = "tokenizer"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900); best-fit packing (arXiv 2404.10830)"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers",)
    extras: ClassVar[Mapping[str, str]] = {"torch": '"ultraclean-data[train]"'}

    tokenizer: Annotated[str, ModelRef()] = Field(
        description="a table made by fit.tokenizer, its folder, or a tokenizer.json; it has <|im_start|>"
    )
    tables: Annotated[str | tuple[str, ...] | None, TableRef()] = Field(
        default=None, description="tables of dialogues; none: the rows before this stage"
    )
    length: int = Field(default=4096, ge=2, description="tokens in one sample")

    def needs(self) -> tuple[str, ...]:
        return ("messages", "tools")

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run
        from tokenizers import Tokenizer

        from ultraclean.train.chat import write_dialogues

        path = storage.expand(self.tokenizer)
        if not path.endswith(".json"):
            path = storage.join(path, "tokenizer.json")
        content = storage.read_bytes(path)
        tokenizer = Tokenizer.from_buffer(content)
        named = (self.tables,) if isinstance(self.tables, str) else self.tables
        tables = [inputs[name] for name in named or inputs]
        manifest = write_dialogues(folder, _dialogues(tables), tokenizer, self.length)
        if not manifest["n_dialogues"]:
            raise DataError(
                f"{self.called}: no dialogue of {', '.join(table.name for table in tables)} fits into "
                f"{self.length} tokens ({manifest['n_too_long']} are longer): nothing to train on"
            )
        storage.write_bytes(storage.join(folder, "tokenizer.json"), content)
        card = {"kind": self.stage, "length": self.length}
        card |= {name: manifest[name] for name in ("n_tokens", "n_dialogues", "n_too_long")}
        storage.write_json(storage.join(folder, "card.json"), card)
        return card


def _dialogues(tables: Sequence[Rows]) -> Iterator[list[dict[str, str]]]:
    for table in tables:
        for batch in table.batches(["messages", "tools"]):
            for messages, tools in zip(
                batch["messages"].to_pylist(), batch["tools"].to_pylist(), strict=True
            ):
                if messages:
                    yield plain(of_row(messages, tools))


def plain(dialogue: Dialogue) -> list[dict[str, str]]:
    """Turns as role and content alone."""
    record = to_mcp(dialogue)
    roles = {"human": "user", "gpt": "assistant", "tool": "tool"}
    said = [
        {"role": roles[one["from"]], "content": one["value"]} for one in record["conversations"]
    ]
    system = record["system"]
    if dialogue.tools:
        system = f"{system}\n\n{record['tools']}".strip()
    return [*([{"role": "system", "content": system}] if system else []), *said]
