"""Puts the present run into a stage: folders for artifacts' names, chosen tables, a random seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ultraclean import storage
from ultraclean.errors import DataError, PlanError
from ultraclean.finished import Done
from ultraclean.ledger import digest
from ultraclean.pipeline import model_refs, table_refs
from ultraclean.plan import Plan
from ultraclean.stage import Stage


@dataclass(frozen=True)
class Binding:
    """A plan and what of it is finished."""

    plan: Plan
    done: Mapping[str, Done]

    def bound(self, table: str, stage: Stage) -> Stage:
        """The stage with artifacts' names replaced by their folders, and its own random seed."""
        update: dict[str, Any] = {}
        for name, reference in model_refs(stage):
            if reference in self.plan.artifact_of:
                update[name] = self.done[self.plan.artifact_of[reference]].folder
            else:
                update[name] = storage.expand(reference)
        for name, reference in table_refs(stage):
            chosen = self._chosen(reference)
            if chosen is not None:
                value = getattr(stage, name)
                others = [value] if isinstance(value, str) else list(value)
                names = [n for other in others for n in (self._chosen(other) or [other])]
                update[name] = tuple(names)
        return self.seeded(table, stage.model_copy(update=update) if update else stage)

    def seeded(self, table: str, stage: Stage) -> Stage:
        """The stage with a seed of its own, where it has one and the pipeline does not set it."""
        if "seed" not in type(stage).model_fields or dict(stage)["seed"] is not None:
            return stage
        seed = int(digest([self.plan.pipeline.seed, table, stage.called])[:8], 16)
        return stage.model_copy(update={"seed": seed})

    def _chosen(self, reference: str) -> list[str] | None:
        """The tables that a card lists under `artifact.field`; None if it is a plain table."""
        if reference in self.plan.pipeline.tables:
            return None
        table, _, name = reference.partition(".")
        card = self.done[self.plan.artifact_of[table]].card
        chosen = card.get(name)
        if not isinstance(chosen, list):
            fields = ", ".join(key for key, value in card.items() if isinstance(value, list))
            raise PlanError.one(reference, f"the card of {table} lists no tables there: {fields}")
        if not chosen:
            raise DataError(
                f"{reference} is empty: {card.get('reason', f'see the card of {table}')}"
            )
        return [str(one) for one in chosen]
