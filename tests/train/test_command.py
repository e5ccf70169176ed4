from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ultraclean import markup
from ultraclean.errors import MissingExtra, PipelineError
from ultraclean.train import TrainSpec, loop
from ultraclean.train.command import main
from ultraclean.train.spec import load_spec

YAML = """\
model: {preset: tiny, vocab_size: 300, hidden_size: 32, intermediate_size: 80}
out: OUT
length: 64
batch: 4
precision: fp32
device: cpu
stages:
  - name: stable
    tokens: 1e3
    warmup_steps: 2
    mix:
      text: {path: SHARDS, part: [0, 0.9]}
validation:
  held: {path: SHARDS, part: [0.9, 1]}
"""


@pytest.fixture
def yaml_file(tmp_path: Path, text_shards: str) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(YAML.replace("OUT", str(tmp_path / "run")).replace("SHARDS", text_shards))
    return path


def test_a_file_is_trained(yaml_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(yaml_file)) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 steps, 1,024 tokens, loss ") and "held: loss" in said
    assert len((yaml_file.parent / "run" / "log.jsonl").read_text().splitlines()) == 6


def test_a_spec_goes_through_yaml(make_spec: Callable[..., TrainSpec], tmp_path: Path) -> None:
    spec = make_spec(validation={}, micro_batch=2)
    path = tmp_path / "spec.yaml"
    path.write_text(markup.dump(json.loads(spec.model_dump_json())))
    assert load_spec(str(path)) == spec
    assert "out" not in spec.meaning() and "micro_batch" not in spec.meaning()
    assert spec.fingerprint() == spec.model_copy(update={"compile": True}).fingerprint()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("batch: 4", "batches: 4", r"train.yaml:4: batches: there is no such field"),
        ("length: 64", "length: 2000", r"train.yaml:1: length 2000 is beyond the model's 1024"),
        ("preset: tiny", "preset: huge", r"train.yaml:1: model: no preset 'huge'"),
        ("[0, 0.9]", "[0.9, 0.1]", r"train.yaml:12: .*part is \[from, to\) within \[0, 1\]"),
        ("batch: 4", "batch: 4\nbatch: 5", r"train.yaml:5: the key 'batch' stands twice"),
        ("batch: 4", "start_optimizer: true", r"start_optimizer needs start"),
        ("warmup_steps: 2", "warmup_steps: 9\n    decay: linear", "leaves no step to decay in"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(
    yaml_file: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, message: str
) -> None:
    yaml_file.write_text(yaml_file.read_text().replace(before, after))
    with pytest.raises(PipelineError, match=message):
        load_spec(str(yaml_file))
    assert main(str(yaml_file)) == 1
    assert "Traceback" not in (said := capsys.readouterr()).err and said.err and not said.out


def test_no_file_and_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no such file"):
        load_spec(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(PipelineError, match=r"list.yaml:1: a training file is a mapping"):
        load_spec(str(tmp_path / "list.yaml"))


def test_stages_must_have_different_names(make_spec: Callable[..., TrainSpec]) -> None:
    stage = make_spec().stages[0]
    with pytest.raises(ValueError, match="stages must have different names"):
        make_spec(stages=(stage, stage))


def test_without_torch_and_when_interrupted(
    yaml_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingExtra("train", "torch", 'pip install "ultraclean-data[train]"')

    with monkeypatch.context() as patch:
        patch.setattr("ultraclean.train.command.need_torch", missing)
        assert main(str(yaml_file)) == 1
    assert 'pip install "ultraclean-data[train]"' in capsys.readouterr().err

    def interrupted(spec: TrainSpec) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupted)
    assert main(str(yaml_file)) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_every_field_is_explained() -> None:
    from ultraclean.train import Mix, ModelConfig, Stage
    from ultraclean.train.config import LongRope, SparseConfig

    for kind in (TrainSpec, Stage, Mix, ModelConfig, LongRope, SparseConfig):
        for name, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{name}"
