"""filter.datatrove: datatrove's decisions, reasons and edits; and what it will not run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean import Pipeline, pipeline_file
from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.filter.datatrove import Datatrove

pytest.importorskip("datatrove")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

GOOD = "The cat and the dog sat on the mat, which was red, and they were to be happy with it. " * 12
TEXTS = [GOOD, "too short", None, "", "中文 😀\r\n" * 40, "# " * 400, GOOD + "\n{ code }\nof it."]


def decide(batch: Batch, **fields: Any) -> tuple[list[str | None], Decision]:
    decision = Datatrove(**fields).open()(batch)
    return [decision.reasons[code] if code >= 0 else None for code in decision.code], decision


def theirs(block: Any, texts: list[str | None]) -> list[tuple[bool, str | None, str]]:
    from datatrove.data import Document

    found = []
    for text in texts:
        document = Document(text=text or "", id="")
        kept = block.filter(document)
        kept, reason = kept if isinstance(kept, tuple) else (kept, None)
        found.append((bool(kept), reason, document.text))
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("GopherQualityFilter", {"max_avg_word_length": 4}),
        ("GopherRepetitionFilter", {}),
        ("C4QualityFilter", {"min_num_sentences": 2}),
        ("RegexFilter", {"regex_exp": "cat"}),
    ],
)
def test_decisions_reasons_and_texts(name: str, options: dict[str, Any], shared_data: Path) -> None:
    from datatrove.pipeline import filters

    (file,) = (shared_data / "text").glob("imdb*.gz")
    with gzip.open(file, "rt") as stream:
        texts = [
            *TEXTS,
            *(json.loads(line)["text"] for line, _ in zip(stream, range(40), strict=False)),
        ]
    reasons, decision = decide(Batch.of(text=pa.array(texts)), block=f"filters.{name}", **options)
    expected = theirs(getattr(filters, name)(**options), texts)
    assert reasons == [None if kept else reason or "dropped" for kept, reason, _ in expected]
    assert any(reasons)
    made = decision.columns.get("text", pa.array(texts)).to_pylist()
    assert [text or "" for text in made] == [text for _, _, text in expected]


def test_metadata_and_id_reach_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from datatrove.pipeline.filters import RegexFilter

    seen: list[Any] = []
    monkeypatch.setattr(RegexFilter, "filter", lambda self, doc: seen.append(doc) or True)
    batch = Batch.of(
        text=["a", "b", "c"],
        id=[7, 8, None],
        url=["https://one.org", None, "https://two.org"],
        metadata=['{"n": 1}', None, "3"],
        _path=["x", "y", "z"],
    )
    reasons, _ = decide(batch, block="filters.RegexFilter", regex_exp="cat")
    assert reasons == [None] * 3
    assert [doc.id for doc in seen] == ["7", "8", ""]
    assert [doc.metadata for doc in seen] == [
        {"url": "https://one.org", "n": 1},
        {},
        {"url": "https://two.org"},
    ]


def test_a_formatter_sees_each_document_alone() -> None:
    """datatrove itself would go on with the second address in the second document."""
    batch = Batch.of(text=["mail me@me.com and you@you.com", "mail us@us.com", None, "none"])
    _, decision = decide(batch, block="formatters.PIIFormatter")
    first = "email@example.com"
    assert decision.columns["text"].to_pylist() == [
        f"mail {first} and firstname.lastname@example.org",
        f"mail {first}",
        None,
        "none",
    ]
    parts = [Datatrove(block="formatters.PIIFormatter").open()(batch.slice(i, 1)) for i in range(2)]
    made = [text for part in parts for text in part.columns["text"].to_pylist()]
    assert made == decision.columns["text"].to_pylist()[:2]


def test_an_extractor(shared_data: Path) -> None:
    pytest.importorskip("trafilatura")
    (file,) = (shared_data / "web").glob("article_extraction*.gz")
    with gzip.open(file, "rt") as stream:
        pages = [json.loads(line)["html"] for line, _ in zip(stream, range(3), strict=False)]
    stage = Datatrove(block="extractors.Trafilatura", column="html", timeout=20)
    assert stage.needs() == ("html",)
    assert stage.adds() == {"text": pa.string()}
    decision = stage.open()(Batch.of(html=[*pages, "", None]))
    reasons = [decision.reasons[code] if code >= 0 else None for code in decision.code]
    assert reasons[:3] == [None] * 3
    assert set(reasons[3:]) <= {"no_text", "clean_error"}
    assert all(len(text) > 200 for text in decision.columns["text"].to_pylist()[:3])


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("filters.LambdaFilter", "use filter.where"),
        ("filters.SamplerFilter", "use sample.random"),
        ("filters.C4BadWordsFilter", "use filter.badwords"),
        ("dedup.MinhashDedupSignature", "use dedup.exact or dedup.minhash"),
        ("datatrove.pipeline.readers.JsonlReader", "use read.jsonl"),
        ("tokens.DocumentTokenizer", "use pack.tokens"),
        ("os.system", "is not filters.X, formatters.X or extractors.X"),
        ("filters.__init__.x", "is not filters.X"),
    ],
)
def test_what_is_not_run(block: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Datatrove(block=block)


def test_check_finds_wrong_names() -> None:
    (problem,) = Datatrove(block="filters.GopherQuality").problems()
    assert "datatrove has no filters.GopherQuality; there are: " in problem
    assert "GopherQualityFilter" in problem
    assert "LambdaFilter" not in problem
    (problem,) = Datatrove(block="filters.GopherQualityFilter", min_word=3).problems()
    assert "takes no min_word; it takes: min_doc_words" in problem
    assert Datatrove(block="filters.GopherQualityFilter", exclusion_writer="x").problems()
    assert Datatrove(block="filters.GopherQualityFilter", min_doc_words=3).problems() == []


def test_in_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS if t))
    text = f"""
name: theirs
stages:
  - read.jsonl: {{path: "{tmp_path}/in.jsonl"}}
  - filter.datatrove: {{block: filters.GopherQualityFilter, min_doc_words: 20}}
"""
    pipeline = pipeline_file.parse(text, "theirs.yaml")
    assert pipeline_file.parse(pipeline.to_yaml(), "again.yaml") == pipeline
    assert isinstance(pipeline, Pipeline)
    done = pipeline.run(str(tmp_path / "run"))
    (table,) = pipeline.tables
    assert done.table(table).n_docs == 2
