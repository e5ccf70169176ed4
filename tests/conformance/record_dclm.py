"""Records what DCLM's own filters decide, one rule at a time, for `test_recorded.py`.

    python tests/conformance/record_dclm.py PEER SHARED_DATA

PEER is a checkout of github.com/mlfoundations/dclm; the environment needs its requirements nltk, uniseg,
fasttext, transformers, unidecode, justext, retrie, lxml and bs4 (others that only its other mappers need
are replaced by stand-ins). The rules and thresholds are those of its baselines_configs:
dclm_baseline_refinedweb.yaml and c4.yaml.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from texts import (
    address,
    flawed_texts,
    marked_texts,
    odd_texts,
    real_rows,
    varied_texts,
    write_record,
)

Rule = Callable[[dict[str, Any]], list[Any]]


def peer_module(name: str) -> Any:
    """A module of the peer; what it imports and is not installed becomes a stand-in."""
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            assert missing.name and missing.name not in ("nltk", "uniseg", "fasttext", "retrie")
            print(f"stand-in for {missing.name}", file=sys.stderr)
            sys.modules[missing.name] = mock.MagicMock()


def quality(f: Any) -> dict[str, Rule]:
    return {
        "too_few_words": lambda p: f.page_length_filter(p, "word", 50, ignore_punctuation=True),
        # Fewer than the published 100,000, so that a file of texts stays small.
        "too_many_words": lambda p: f.page_length_filter(
            p, "word", 0, 120, ignore_punctuation=True
        ),
        "short_words": lambda p: f.word_length_filter(p, 3),
        "long_words": lambda p: f.word_length_filter(p, 0, 10),
        "too_many_symbols": lambda p: f.symbol_ratio_filter(p, 0.1),
        "too_many_bullet_lines": lambda p: f.bullet_count_filter(p, 0.9),
        "too_many_ellipsis_lines": lambda p: f.ellipsis_count_filter(p, 0.3),
        "too_few_alphabetic_words": lambda p: f.alphabetic_word_ratio_filter(p, 0.2),
        "too_few_stop_words": lambda p: f.stop_word_filter(p, False, 2),
    }


def repetition(f: Any) -> dict[str, Rule]:
    def cached(page: dict[str, Any], what: Any, limit: float, chars: bool = True) -> list[Any]:
        """With what the rules share, as its `massive_web_repetition_filters` does."""
        shared = page.setdefault("cache", {})
        return f.repetition_filter(page, what, limit, count_characters=chars, cache=shared)

    rules: dict[str, Rule] = {
        "repeated_lines": lambda p: cached(p, "line", 0.3, False),
        "repeated_paragraphs": lambda p: cached(p, "paragraph", 0.3, False),
        "repeated_line_chars": lambda p: cached(p, "line", 0.2),
        "repeated_paragraph_chars": lambda p: cached(p, "paragraph", 0.2),
    }
    for n, limit in zip(range(2, 5), (0.2, 0.18, 0.16), strict=True):
        rules[f"top_{n}gram"] = lambda p, n=n, limit=limit: cached(p, n, limit)
    for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
        rules[f"repeated_{n}grams"] = lambda p, n=n, limit=limit: cached(p, n, limit)
    return rules


def c4(f: Any, m: Any) -> dict[str, Rule]:
    """The steps on the text, in their order; sentences, which need a model of NLTK, are left out."""
    cookies = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
               "use cookies"]  # fmt: skip
    return {
        "long_word": lambda p: m.word_length_modifier(p, 1000, model="split"),
        "citations": m.citation_removal_modifier(),
        "no_end_mark": m.punctuation_line_modifier(remove_ellipses=True),
        "few_words": lambda p: m.line_length_modifier(p, 5),
        "lorem_ipsum": f.substring_filter(banlist=["lorem ipsum"]),
        "javascript": m.substring_line_modifier(banlist=["javascript"]),
        "curly_bracket": f.substring_filter(banlist=["{"]),
        "policy": m.substring_line_modifier(banlist=cookies),
    }


def edited(steps: dict[str, Rule], text: str) -> dict[str, Any]:
    """`c4`: `kept HASH`, or the step that gave the page up; `c4_edits`: the steps that took some of it."""
    page, changed = {"text": text}, []
    for name, step in steps.items():
        before = page["text"]
        if not step(page):
            return {"c4": name, "c4_edits": changed}
        if page["text"].strip() != before.strip():  # some steps strip what they leave
            changed.append(name)
    digest = hashlib.sha256(page["text"].encode()).hexdigest()[:16]
    return {"c4": f"kept {digest}", "c4_edits": changed}


def main(peer: Path, shared: Path) -> None:
    sys.path[:0] = [str(peer), str(peer / "baselines")]
    filters = peer_module("baselines.mappers.filters.content_filters")
    modifiers = peer_module("baselines.mappers.modifiers")
    rules = {"quality": quality(filters), "repetition": repetition(filters)}
    steps = c4(filters, modifiers)
    # A real text has at most 4,000 characters here: uniseg reads 20 KB a second.
    real = [row for row in real_rows(shared) if len(row["text"]) <= 4000]
    made = [
        {"text": text}
        for text in itertools.chain(odd_texts(400), varied_texts(700), marked_texts(900))
    ]
    rows = []
    for row in itertools.chain(made, real[::3]):
        out = address(row) if "file" in row else row.copy()
        for kind, every in rules.items():
            page = {"text": row["text"]}
            out[kind] = [name for name, rule in every.items() if not rule(page)]
        rows.append(out | edited(steps, row["text"]))
    # C4's rules alone are quick, and give few of the documents above up.
    for text in itertools.chain(marked_texts(400, seed=8), flawed_texts(500)):
        rows.append({"text": text} | edited(steps, text))
    commit = subprocess.run(
        ["git", "-C", peer, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    head = {
        "peer": "mlfoundations/dclm",
        "commit": commit or "361714bdd60bb9b7f4b2d8354cebbf0dec0c329e",
        "command": "python tests/conformance/record_dclm.py PEER SHARED_DATA",
        "uniseg": importlib.metadata.version("uniseg"),
        **{kind: list(every) for kind, every in rules.items()},
    }
    write_record(Path(__file__).parent / "recorded" / "dclm.jsonl.gz", head, rows)
    for kind, every in rules.items():
        print(kind, {name: sum(name in row.get(kind, ()) for row in rows) for name in every})
    for name in steps:
        gone, changed = (sum(name in row[key] for row in rows) for key in ("c4", "c4_edits"))
        print(f"c4 {name}: gave up {gone}, edited {changed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
