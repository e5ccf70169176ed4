"""What every stage makes of a small fixed batch, as a digest beside the stage's version.

    python tests/golden/collect.py      writes stages.json anew

A change of a digest without a change of `version` fails the test: users rely on versions to know
when outputs change.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.exchange import Piece, Sketches
from ultraclean.rowgroups import Output
from ultraclean.stage import Barrier, Decision, Filter, Map, Stage

HERE = Path(__file__).parent
RECORD = HERE / "stages.json"


def cases() -> dict[str, tuple[Stage, Batch]]:
    """Name of the case file -> a configured stage and its batch; a case for each of its DIALECTS."""
    found = {}
    for file in sorted((HERE / "cases").glob("*.py")):
        module = load(file)
        found[file.stem] = stage, batch = module.case()
        for dialect in getattr(module, "DIALECTS", ()):
            found[f"{file.stem}_{dialect}"] = type(stage)(dialect=dialect), batch
    return found


def load(file: Path) -> ModuleType:
    """A module by its path: the tests are no package."""
    spec = importlib.util.spec_from_file_location(f"golden_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outcome(stage: Stage, batch: Batch, folder: Path) -> dict[str, Any]:
    """The version of a stage and a digest of all that it made of the batch."""
    if KEY not in batch:
        batch = batch.with_columns({KEY: keys_of("golden", "case", np.arange(batch.num_rows))})
    if isinstance(stage, Barrier):
        made: Any = decision_values(barrier_decision(stage, batch, folder))
    elif isinstance(stage, Filter):
        made = decision_values(stage.open()(batch))
    elif isinstance(stage, Map):
        made = _short_floats(stage.open()(batch).data.to_pylist())
    else:
        raise TypeError(f"{stage.stage}: a stage at the end of a pipeline has its case in ends.py")
    return entry(stage, made)


def entry(stage: Stage, made: Any) -> dict[str, Any]:
    text = json.dumps(made, default=_plain, ensure_ascii=False)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return {"stage": stage.stage, "version": stage.version, "digest": digest}


def barrier_decision(stage: Barrier, batch: Batch, folder: Path) -> Decision:
    at = np.arange(batch.num_rows, dtype=np.int64)
    rows = Batch(stage.sketch()(batch)).with_columns({AT: at, KEY: batch[KEY]}).data
    output = Output(str(folder / "sketch.parquet"), rows.schema)
    output.add(rows)
    output.close()
    piece = Piece(((str(folder / "sketch.parquet"), 0),), batch.num_rows)
    sketches = Sketches([piece], [batch.num_rows], str(folder / "steps"), map)
    card = stage.resolve(sketches)
    verdicts = sketches.verdicts_of(0)
    return stage.apply(card, verdicts)(batch.with_columns({AT: at}))


def decision_values(decision: Decision) -> dict[str, Any]:
    reasons = [decision.reasons[code] if code >= 0 else None for code in decision.code]
    return {
        "reasons": reasons,
        "value": _rounded(decision.value),
        "threshold": _rounded(decision.threshold),
        "numbers": {name: _rounded(values) for name, values in decision.numbers.items()},
        "columns": {name: values.to_pylist() for name, values in decision.columns.items()},
        "same_as": None if decision.same_as is None else decision.same_as.to_pylist(),
    }


def _rounded(values: Any) -> list[str]:
    """Six digits: the last bits of a float may differ between processors."""
    return [f"{float(value):.6g}" for value in np.asarray(values, dtype=np.float64)]


def _short_floats(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return [_short_floats(one) for one in value]
    if isinstance(value, dict):
        return {name: _short_floats(one) for name, one in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def collect(folder: Path) -> dict[str, Any]:
    found = {}
    for make in load(HERE / "ends.py").ENDS:
        place = folder / make.__name__
        place.mkdir(parents=True)
        stage, made = make(place)
        found[make.__name__] = entry(stage, _short_floats(made))
    for name, (stage, batch) in cases().items():
        place = folder / name
        place.mkdir(parents=True)
        found[name] = outcome(stage, batch, place)
    return found


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        RECORD.write_text(json.dumps(collect(Path(scratch)), indent=1) + "\n")
    print(f"wrote {RECORD}")
