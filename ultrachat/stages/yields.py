"""What each track yields: attempts, dialogues, and how many attempts each check has rejected.

Reads the tables of attempts, before `chat.passed`. The card is the table that a run ends with; a
track that yields nothing is an alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ultraclean import storage
from ultraclean.document import texts
from ultraclean.stage import Artifact, Rows, TableRef


class Yields(Artifact):
    stage: ClassVar[str] = "chat.yields"
    main: ClassVar[str | None] = "tables"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: automated verification"

    tables: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="tables of attempts: what the tracks made, before chat.passed"
    )

    def needs(self) -> tuple[str, ...]:
        return ("problem", "track")

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # two small columns
        rejected: dict[str, Counter[str]] = {}
        attempts: Counter[str] = Counter()
        for name in (self.tables,) if isinstance(self.tables, str) else self.tables:
            for batch in inputs[name].batches(["problem", "track"]):
                said = zip(batch.view("track", texts), batch.view("problem", texts), strict=True)
                for track, problem in said:
                    attempts[track] += 1
                    if problem:
                        reason = problem.split(":", 1)[0]
                        rejected.setdefault(track, Counter())[reason] += 1
        tracks = {
            track: _yield(attempts[track], rejected.get(track, Counter())) for track in attempts
        }
        barren = [track for track, row in tracks.items() if not row["dialogues"]]
        card = {
            "kind": self.stage,
            "attempts": attempts.total(),
            "dialogues": sum(row["dialogues"] for row in tracks.values()),
            "tracks": tracks,
            "alarms": [f"the track {track} yields nothing" for track in barren],
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card


def _yield(n_attempts: int, rejected: Counter[str]) -> dict[str, Any]:
    n_good = n_attempts - rejected.total()
    return {
        "attempts": n_attempts,
        "dialogues": n_good,
        "yield": round(n_good / n_attempts, 4),
        "rejected": dict(rejected.most_common()),
    }
