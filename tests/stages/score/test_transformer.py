"""score.transformer: transformers' own numbers, whatever the batch; what is wrong said at `check`."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.engine import run
from ultraclean.errors import DataError
from ultraclean.executors import Executor
from ultraclean.pipeline import Pipeline
from ultraclean.plan import check
from ultraclean.stage import Resources, Stage
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.score.transformer import Transformer
from ultraclean.stages.write.parquet import Parquet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
Make = Callable[..., Path]

WORDS = "the cat sat on a mat while seven zebras 猫坐在垫子上 — naïve 🙂 ☃ ran; and 42 more".split()  # noqa: SIM905 - it reads better
TEXTS = [
    *(" ".join(itertools.islice(itertools.cycle(WORDS), n, 2 * n + n % 7)) for n in range(1, 40)),
    "one\r\ntwo\r\n\r\nthree",
    "word " * 3000,
    "\n\n" + " " * 5000 + "late words",
    "unbroken" * 900,
    "中文" * 700,
]
NOTHING = ["", None, "   \n\t"]


@pytest.fixture(scope="module")
def grader(make_classifier: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grader")
    return make_classifier(folder, TEXTS, num_labels=1, problem_type="regression")


@pytest.fixture(scope="module")
def toxicity(make_classifier: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toxicity")
    labels = {0: "toxic", 1: "threat", 2: "insult"}
    return make_classifier(
        folder, TEXTS, "modernbert", id2label=labels, problem_type="multi_label_classification",
        num_attention_heads=2, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def language(make_classifier: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    labels = {0: "good", 1: "bad", 2: "ugly", 3: "none"}
    return make_classifier(folder, TEXTS, "distilbert", id2label=labels, dim=32, n_heads=2, hidden_dim=48, n_layers=2)  # fmt: skip


def scored(texts: list[str | None], **fields: Any) -> dict[str, list[Any]]:
    data = Transformer(device="cpu", **fields).open()(Batch.of(text=pa.array(texts, pa.string())))
    return {name: data[name].to_pylist() for name in data.names if name != "text"}


def theirs(folder: Path, texts: list[str], **settings: Any) -> list[dict[str, float]]:
    """What transformers' own pipeline says: label -> score of each text."""
    import transformers

    told = transformers.pipeline("text-classification", str(folder), device="cpu")
    answers = told(texts, top_k=None, truncation=True, max_length=64, **settings)
    return [{one["label"]: one["score"] for one in answer} for answer in answers]


def test_a_regression_is_the_models_number_and_its_grade(grader: Path) -> None:
    mine = scored(TEXTS, model=str(grader), max_tokens=64, into="score", rounded_into="int_score")
    expected = [one["LABEL_0"] for one in theirs(grader, TEXTS, function_to_apply="none")]
    np.testing.assert_allclose(mine["score"], expected, atol=1e-5)
    # the rule on the card of FineWeb-Edu's classifier
    assert mine["int_score"] == [round(max(0, min(one, 5))) for one in mine["score"]]
    assert np.std(expected) > 0.05


def test_several_labels_are_sigmoids_in_columns_of_their_own(toxicity: Path) -> None:
    into = {"insult": "insulting", "toxic": "toxicity"}
    mine = scored(TEXTS, model=str(toxicity), max_tokens=64, into=into, label_into="worst")
    expected = theirs(toxicity, TEXTS)
    for label, column in into.items():
        np.testing.assert_allclose(mine[column], [one[label] for one in expected], atol=1e-5)
    assert mine["worst"] == [max(one, key=lambda label: one[label]) for one in expected]


def test_one_of_several_classes_is_a_softmax(language: Path) -> None:
    mine = scored(TEXTS, model=str(language), max_tokens=64, label_into="label")
    expected = theirs(language, TEXTS)
    np.testing.assert_allclose(mine["quality"], [max(one.values()) for one in expected], atol=1e-5)
    assert mine["label"] == [max(one, key=lambda label: one[label]) for one in expected]
    assert len(set(mine["label"])) > 1
    as_numbers = scored(TEXTS[:3], model=str(language), max_tokens=64, problem_type="multi_label_classification")  # fmt: skip
    assert as_numbers["quality"] != mine["quality"][:3]


def test_a_text_without_a_token_has_no_score(grader: Path) -> None:
    mine = scored([*NOTHING, "word"], model=str(grader), max_tokens=64, rounded_into="whole")
    for column in mine.values():
        assert column[:3] == [None, None, None] and column[3] is not None
    assert scored([], model=str(grader), max_tokens=64) == {"quality": []}


@pytest.mark.parametrize("windows", ["first", "mean", "max"])
def test_scores_do_not_depend_on_neighbours(toxicity: Path, windows: str) -> None:
    fields = {"model": str(toxicity), "max_tokens": 64, "windows": windows, "into": {"toxic": "t"}}
    fields["max_windows"] = 4
    texts = [*TEXTS[::3], *TEXTS[-4:], *NOTHING]
    alone = [scored([text], **fields)["t"][0] for text in texts]
    for batch_tokens in (200, 100_000):
        together = scored(texts, **fields, batch_tokens=batch_tokens)["t"]
        assert [one is None for one in together] == [one is None for one in alone]
        np.testing.assert_allclose(
            np.array(together, dtype=float), np.array(alone, dtype=float), atol=1e-5
        )
    stage = Transformer(device="cpu", **fields)
    data = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.large_string())})
    sliced = stage.open()(Batch(data.slice(7, 8)))["t"].to_pylist()
    np.testing.assert_allclose(sliced, np.array(alone[7:15], dtype=float), atol=1e-5)


def test_of_a_long_text_windows_are_read(grader: Path) -> None:
    words = [WORDS[(7 * n) % len(WORDS)] for n in range(400)]
    fields: dict[str, Any] = {"model": str(grader), "max_tokens": 34}
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(grader)
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    parts = [ids[start : start + 32] for start in range(0, len(ids), 32)]
    assert len(parts) > 5 and len(parts[-1]) < 32
    model = transformers.AutoModelForSequenceClassification.from_pretrained(grader).eval()
    import torch

    with torch.no_grad():
        each = [model(torch.tensor([[2, *part, 3]])).logits.item() for part in parts]
    weights = list(map(len, parts))
    expected = {
        "first": each[0],
        "mean": np.average(each, weights=weights),
        "max": max(each),
    }
    for windows, value in expected.items():
        found = scored([" ".join(words)], **fields, windows=windows, max_windows=100)["quality"]
        np.testing.assert_allclose(found, [value], atol=1e-5)
    three = scored([" ".join(words)], **fields, windows="mean", max_windows=3)["quality"]
    np.testing.assert_allclose(three, [np.mean(each[:3])], atol=1e-5)


def test_a_huge_text_is_not_read_to_its_end(grader: Path) -> None:
    huge = "word and word " * 2_000_000
    same = scored([huge, huge[:10_000]], model=str(grader), max_tokens=64)["quality"]
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)


def test_a_model_trained_for_seconds_tells_reviews_from_lessons(
    make_classifier: Make, shared_data: Path, tmp_path: Path
) -> None:
    import torch
    import transformers

    texts, labels = [], []
    for label, name in enumerate(("imdb", "openstax")):
        with gzip.open(shared_data / f"text/{name}.jsonl.gz", "rt") as lines:
            texts += [json.loads(line)["text"] for line in itertools.islice(lines, 120)]
        labels += [label] * 120
    folder = make_classifier(tmp_path, texts, id2label={0: "review", 1: "lesson"})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    train = [row for row in range(240) if row % 3]
    torch.manual_seed(0)
    for _ in range(70):
        rows = [train[i] for i in torch.randint(len(train), (16,)).tolist()]
        given = tokenizer([texts[row] for row in rows], truncation=True, max_length=48, padding=True, return_tensors="pt")  # fmt: skip
        model(**given, labels=torch.tensor([labels[row] for row in rows])).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    held = [row for row in range(240) if row % 3 == 0]
    mine = scored([texts[row] for row in held], model=str(folder), max_tokens=64, into={"lesson": "p"}, label_into="kind")  # fmt: skip
    right = [kind == ("review", "lesson")[labels[row]] for kind, row in zip(mine["kind"], held, strict=True)]  # fmt: skip
    assert np.mean(right) > 0.75  # by seconds of training, whose last bits differ by machine
    expected = [one["lesson"] for one in theirs(folder, [texts[row] for row in held])]
    np.testing.assert_allclose(mine["p"], expected, atol=1e-5)


def test_models_that_look_for_the_last_token(make_classifier: Make, tmp_path: Path) -> None:
    labels = {0: "a", 1: "b", 2: "c"}
    sizes = {"num_key_value_heads": 2, "head_dim": 16}
    folder = make_classifier(tmp_path, TEXTS, "qwen3", id2label=labels, **sizes)
    expected = [max(theirs(folder, [text])[0].values()) for text in TEXTS[:8]]
    for drop in (False, True):  # a tokenizer without a padding token: one text at a time
        if drop:
            for name in ("tokenizer_config.json", "config.json"):
                content = json.loads((folder / name).read_text())
                content.pop("pad_token", None)
                content.pop("pad_token_id", None)
                (folder / name).write_text(json.dumps(content))
        mine = scored(TEXTS[:8], model=str(folder), max_tokens=64)["quality"]
        np.testing.assert_allclose(mine, expected, atol=1e-5)


@pytest.fixture
def curators(grader: Path, tmp_path: Path) -> Path:
    """What `PyTorchModelHubMixin` saves of the class on the cards of Curator's classifiers."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "quality"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(grader / name, folder)
    labels = {"0": "High", "1": "Medium", "2": "Low"}
    config = {"base_model": "some/encoder", "fc_dropout": 0.2, "id2label": labels}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(grader / "model.safetensors")
    mine = {f"model.{name.removeprefix('bert.')}": value for name, value in weights.items() if name.startswith("bert.")}  # fmt: skip
    draw = np.random.default_rng(3)
    mine |= {"fc.weight": draw.normal(size=(3, 32)).astype(np.float32), "fc.bias": np.zeros(3, np.float32)}  # fmt: skip
    save_file(mine, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_curators_classifiers(curators: Path, grader: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import load_file

    fields: dict[str, Any] = {"model": str(curators), "encoder": str(grader), "max_tokens": 64}
    assert Transformer(**fields).problems() == []
    mine = scored(TEXTS[:12], **fields, into={"High": "high"}, label_into="label")
    tokenizer = transformers.AutoTokenizer.from_pretrained(curators)
    base = transformers.AutoModel.from_pretrained(grader).eval()
    head = load_file(curators / "model.safetensors")
    labels = []
    for text, value in zip(TEXTS, mine["high"], strict=False):
        given = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():  # as `forward` is written on the cards
            features = base(**given).last_hidden_state
            outputs = features @ head["fc.weight"].T + head["fc.bias"]
            chances = torch.softmax(outputs[:, 0, :], dim=1)[0]
        assert abs(float(chances[0]) - value) < 1e-5
        labels.append(("High", "Medium", "Low")[int(chances.argmax())])
    assert mine["label"] == labels
    nowhere = Transformer(model=str(curators), encoder=str(curators / "none")).problems()
    assert "there is no config.json of its encoder some/encoder" in nowhere[0]


# --- what is wrong with a checkpoint ---------------------------------------------------------------


def problems(**fields: Any) -> str:
    return "\n".join(Transformer(max_tokens=64, **fields).problems())


def test_what_is_wrong_is_said_before_anything_is_loaded(grader: Path, tmp_path: Path) -> None:
    assert problems(model=str(grader)) == ""
    assert "there is no such folder" in problems(model=str(tmp_path / "nowhere"))
    broken = tmp_path / "broken"

    def with_config(**changed: Any) -> str:
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(grader, broken)
        content = json.loads((broken / "config.json").read_text()) | changed
        content = {name: value for name, value in content.items() if value is not None}
        (broken / "config.json").write_text(json.dumps(content))
        return problems(model=str(broken))

    assert with_config() == ""
    assert "(architectures: BertForMaskedLM)" in with_config(architectures=["BertForMaskedLM"])
    assert "(architectures: none)" in with_config(architectures=None)
    own_code = {"AutoModelForSequenceClassification": "code.Model"}
    assert "code of its own" in with_config(auto_map=own_code)
    assert "set problem_type to regression or" in with_config(problem_type=None)
    assert "problem_type 'ranking' is none of" in with_config(problem_type="ranking")
    assert "no weight has 9 outputs" in with_config(id2label={str(n): f"L{n}" for n in range(9)})
    assert "the model reads 32" in with_config(max_position_embeddings=32)
    assert with_config() == ""
    weights = (broken / "model.safetensors").read_bytes()
    for length in (0, 5, 100, len(weights) - 1):
        (broken / "model.safetensors").write_bytes(weights[:length])
        assert "model.safetensors is truncated" in problems(model=str(broken))
    (broken / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"oops")
    assert "model.safetensors is no safetensors file" in problems(model=str(broken))
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    assert "its weights are pickled" in problems(model=str(broken))
    (broken / "pytorch_model.bin").unlink()
    assert "there is no model.safetensors" in problems(model=str(broken))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (broken / name).unlink()
    assert "there is no tokenizer (one of tokenizer.json" in problems(model=str(broken))
    (broken / "config.json").write_text("{")
    assert "config.json is no JSON" in problems(model=str(broken))
    (broken / "config.json").unlink()
    assert "there is no config.json" in problems(model=str(broken))


def test_shards_are_all_needed(grader: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(grader, tmp_path / "sharded"))
    (broken / "model.safetensors").rename(broken / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (broken / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert "there is no model-00002-of-00002.safetensors" in problems(model=str(broken))


def test_what_the_model_does_not_give_is_refused(grader: Path, toxicity: Path) -> None:
    unknown = problems(model=str(toxicity), into={"rude": "x"})
    assert "there is no label 'rude'; there are: toxic, threat, insult" in unknown
    assert "rounded_into is for a regression" in problems(model=str(toxicity), rounded_into="x")
    three = problems(model=str(toxicity), problem_type="regression")
    assert "several numbers: name columns" in three
    with pytest.raises(ValueError, match="name a column"):
        Transformer(model="x", into=None)
    with pytest.raises(ValueError, match="two columns of one name"):
        Transformer(model="x", into="a", label_into="a")


def test_a_head_without_weights_is_not_made_up(grader: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    broken = Path(shutil.copytree(grader, tmp_path / "headless"))
    weights = load_file(broken / "model.safetensors")
    weights["other.weight"] = weights.pop("classifier.weight")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"the weights classifier\.weight are missing"):
        Transformer(model=str(broken), max_tokens=64, device="cpu").open()


def test_a_model_that_gives_no_number_is_an_error(grader: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    broken = Path(shutil.copytree(grader, tmp_path / "nan"))
    weights = load_file(broken / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] * np.float32("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"no number \(NaN\)"):
        scored(TEXTS[:2], model=str(broken), max_tokens=64)
    assert scored(NOTHING, model=str(broken), max_tokens=64) == {"quality": [None] * 3}


# --- where it runs --------------------------------------------------------------------------------


def test_a_gpu_is_taken_only_where_there_is_one(grader: Path) -> None:
    import torch

    assert Transformer(model="x").resources == Resources(model=True, spare_gpus=1)
    assert Transformer(model="x", device="cpu").resources == Resources(model=True)
    asked = Transformer(model=str(grader), device="cuda", gpus=0.5, max_tokens=64)
    assert asked.resources == Resources(model=True, gpus=0.5)
    if not torch.cuda.is_available():
        with pytest.raises(DataError, match="torch finds no GPU here"):
            asked.open()
    half = scored(TEXTS, model=str(grader), max_tokens=64, dtype="bfloat16")["quality"]
    np.testing.assert_allclose(half, scored(TEXTS, model=str(grader), max_tokens=64)["quality"], atol=0.2)  # fmt: skip


class FakeRay:
    def __init__(self, **there: float) -> None:
        self.there = there

    def cluster_resources(self) -> dict[str, float]:
        return self.there


@pytest.mark.parametrize(
    ("there", "spare", "expected"),
    [({}, 1.0, 0), ({"GPU": 8.0}, 1.0, 1), ({"GPU": 1.0}, 0.25, 0.25), ({"GPU": 1.0}, 2.0, 0)],
)
def test_ray_gives_spare_gpus_where_it_has_them(
    there: dict[str, float], spare: float, expected: float
) -> None:
    from ultraclean.executors.ray import RayExecutor

    executor = RayExecutor.__new__(RayExecutor)
    executor._ray = FakeRay(CPU=16.0, **there)
    settled = executor._settled(Resources(model=True, spare_gpus=spare))
    assert settled.gpus == expected
    if settled.gpus:
        assert executor._most(settled) == there["GPU"] / settled.gpus


def pipeline(folder: Path, model: str, **fields: Any) -> Pipeline:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:9]))
    stages: list[Stage] = [
        Jsonl(path=str(path)),
        Transformer(model=model, max_tokens=64, **fields),
        Parquet(),
    ]
    return Pipeline(name="scored", stages=stages)


def test_a_run_of_it(grader: Path, tmp_path: Path, executor: Executor) -> None:
    made = pipeline(tmp_path, str(grader))
    assert not check(made)
    finished = run(made, str(tmp_path / "run"), executor=executor)
    import pyarrow.parquet as pq

    found = pq.read_table(Path(finished.out) / "tables/scored")["quality"].to_pylist()
    expected = scored(list(TEXTS[:9]), model=str(grader), max_tokens=64)["quality"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_where_it_runs_is_no_part_of_what_it_is(grader: Path, tmp_path: Path) -> None:
    from ultraclean.plan import make_plan

    plans = [make_plan(pipeline(tmp_path, str(grader), device=one)) for one in ("auto", "cpu", "cuda")]  # fmt: skip
    assert len({tuple(segment.name for segment in plan.segments) for plan in plans}) == 1


@pytest.fixture
def remote(grader: Path) -> Iterator[str]:
    store = fsspec.filesystem("memory")
    for path in grader.iterdir():
        store.pipe_file(f"/models/grader/{path.name}", path.read_bytes())
    yield "memory://models/grader"
    store.store.clear()


def test_a_remote_folder_is_copied(remote: str, grader: Path) -> None:
    there = scored(TEXTS[:5], model=remote, max_tokens=64)["quality"]
    assert there == scored(TEXTS[:5], model=str(grader), max_tokens=64)["quality"]
    with pytest.raises(DataError, match=r"there is no config\.json"):
        Transformer(model="memory://models/none").open()
