"""Deletes from a run folder what its present pipeline does not use; nothing else ever does."""

from __future__ import annotations

from dataclasses import dataclass

from ultraclean import storage
from ultraclean.errors import LedgerError
from ultraclean.forecast import look
from ultraclean.ledger import lock
from ultraclean.pipeline import Pipeline
from ultraclean.storage import filesystem


@dataclass
class Freed:
    """What was, or would be, deleted."""

    n_files: int = 0
    n_bytes: int = 0


def collect(pipeline: Pipeline, out: str, *, dry_run: bool = False) -> Freed:
    """Deletes superseded segments, models and their records. The run must be finished."""
    with lock(out):
        plan, done = look(pipeline, out)
        unfinished = [
            segment.name
            for segment in plan.segments
            if segment.name not in done or done[segment.name].n_new
        ]
        if unfinished:
            raise LedgerError(
                f"{out} is not finished ({', '.join(unfinished[:5])}): run it to the end first, "
                "so that nothing that it could reuse is deleted"
            )
        live_folders = {one.fingerprint for one in done.values()}
        live_files = {
            record[what]["path"]
            for one in done.values()
            for record in one.records
            for what in ("data", "numbers", "dropped", "sketch")
            if record.get(what)
        }
        live_models = {one.folder for one in done.values() if one.segment.kind == "artifact"}
        freed = Freed()
        for path, n_bytes in _files(out):
            if not _live(path, out, live_folders, live_files, live_models):
                freed.n_files += 1
                freed.n_bytes += n_bytes
                if not dry_run:
                    storage.remove(path)
        return freed


def _live(path: str, out: str, folders: set[str], files: set[str], models: set[str]) -> bool:
    area, _, rest = path.removeprefix(out).lstrip("/").partition("/")
    if area == "ledger":
        folder = rest.split("/")[0]
        return "/" not in rest or folder in folders or rest.endswith("shards.json")
    if area == "segments":
        name = rest.split("/")[-1]
        resolved = rest.count("/") > 1  # what a barrier's steps left
        return rest.split("/")[0] in folders and (resolved or path in files or name[0] == ".")
    if area in {"models", "verify"}:
        return any(path.startswith(f"{folder}/") for folder in models)
    return True


def _files(out: str) -> list[tuple[str, int]]:
    """(path as the records name it, bytes) of every file of a run folder."""
    fs, bare = filesystem(out)
    found = fs.find(bare, detail=True)
    return [
        (out.rstrip("/") + name[len(bare.rstrip("/")) :], info["size"])
        for name, info in found.items()
    ]
