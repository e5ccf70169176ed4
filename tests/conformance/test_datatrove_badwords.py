"""filter.badwords decides as datatrove's C4BadWordsFilter does, with the same lists."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from pathlib import Path

import pytest

from ultraclean.document import Batch
from ultraclean.stages.filter.badwords import Badwords

pytest.importorskip("datatrove")

from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters as theirs

HERE = Path(__file__).parent
LANGUAGES = ("en", "de", "fr", "zh")
FEWEST_DROPPED = 100


def documents(shared: Path, words: dict[str, list[str]]) -> list[tuple[str, str | None]]:
    """(text, language): real texts in their own and in other languages, and words at odd places."""
    spec = importlib.util.spec_from_file_location("conformance_texts", HERE / "texts.py")
    assert spec is not None and spec.loader is not None
    texts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(texts)
    found: list[tuple[str, str | None]] = []
    limits = {
        "text/imdb": 400,
        "text/bbc": 100,
        "text/zh_lctt": 60,
        "text/zh_tidb": 60,
        "langid/udhr": 98,
    }
    for row in texts.real_rows(shared, limits):
        language = "zh" if "zh_" in row["file"] else random.Random(row["row"]).choice(LANGUAGES)
        found.append((row["text"], language))
    chance = random.Random(13)
    for _ in range(3000):
        language = chance.choice([*LANGUAGES, None])
        word = chance.choice(words[language or "en"])
        word = chance.choice([word, word.upper(), word.title(), word + "s", word[:-1]])
        pieces = [chance.choice(texts.PIECES) for _ in range(chance.choice([1, 3, 20]))]
        pieces.insert(chance.randint(0, len(pieces)), word)
        found.append((chance.choice(["", " ", "\n", "_", "。"]).join(pieces), language))
    return found


def test_the_same_decision(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {language: shared_data / f"tox/{language}.txt" for language in LANGUAGES}
    words = {name: path.read_text("utf-8").split("\n") for name, path in paths.items()}
    words = {name: [word.strip() for word in mine if word.strip()] for name, mine in words.items()}
    # Its lists come over the network; here it is given the same files as ours.
    monkeypatch.setattr(
        theirs,
        "cached_asset_path_or_download",
        lambda url, **_: str(paths[url.rsplit("/", 1)[1]]),
    )
    peer = theirs.C4BadWordsFilter(fail_on_missing_language=False)
    rows = documents(shared_data, words)
    rows += [(text, "xx") for text, _ in rows[:50]]
    batch = Batch.of(text=[text for text, _ in rows], language=[language for _, language in rows])
    ours = Badwords(lists={name: str(path) for name, path in paths.items()}).open()(batch)
    wrong, dropped = [], Counter[str | None]()
    for (text, language), code in zip(rows, ours.code, strict=True):
        metadata = {} if language is None else {"language": language}
        verdict = peer.filter(Document(text=text, id="", metadata=metadata))
        if (code < 0) != (verdict is True):
            wrong.append((text[:80], language, verdict))
        dropped[language] += verdict is not True
    assert not wrong, (len(wrong), wrong[:10])
    assert min(dropped[language] for language in (*LANGUAGES, None)) >= FEWEST_DROPPED, dropped
    assert dropped["xx"] == 0
