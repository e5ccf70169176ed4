"""The errors a user can meet: each says what happened, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


class UltracleanError(Exception):
    """The root of the tree; catch this to catch everything that the library raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a pipeline file: `where` is `file:line`, or the address of a Python value."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class PipelineError(UltracleanError):
    """The pipeline is wrong as written: an unknown stage, field, table, or a value of the wrong kind."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    @classmethod
    def one(cls, where: str, message: str) -> Self:
        return cls([Problem(where, message)])


class PlanError(PipelineError):
    """The pipeline is well formed but cannot run: columns do not fit, an input or an extra is missing."""


class DataError(UltracleanError):
    """An input cannot be read, or a run ended with nothing where something was expected."""


class StageError(UltracleanError):
    """A stage failed: the message names the stage, the shard and, where known, the document."""


class LedgerError(UltracleanError):
    """The run folder belongs to another run, another pipeline, or to inputs that have changed."""


class MissingExtra(UltracleanError, ImportError):
    """A stage needs a package that is not installed; the message is the exact command that installs it."""

    def __init__(self, stage: str, module: str, command: str) -> None:
        self.stage, self.module, self.command = stage, module, command
        super().__init__(f"{stage} needs the package {module!r}, which is not installed: {command}")

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        return type(self), (self.stage, self.module, self.command)
