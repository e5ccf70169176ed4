"""Records what dolma's own taggers give, as the decisions of its mixer, for `test_recorded.py`.

    python tests/conformance/record_dolma.py SHARED_DATA

in an environment of its own with `pip install dolma==1.2.1` (numpy 1). The thresholds are those of
configs/dolma-v1_5/mixing/cc-head.yaml; C4's documents and lines go as configs/c4-replication/mixer.yaml
has it: spans are cut out of the text, and a document with a flag goes.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from texts import address, marked_texts, odd_texts, real_rows, varied_texts, write_record

QUALITY = {
    "too_few_words": lambda a: a["word_count"] < 50,
    # Fewer than the published 100,000, so that a file of texts stays small.
    "too_many_words": lambda a: a["word_count"] > 120,
    "short_words": lambda a: a["median_word_length"] < 3,
    "long_words": lambda a: a["median_word_length"] > 10,
    "too_many_symbols": lambda a: a["symbol_to_word_ratio"] > 0.1,
    "too_few_alphabetic_words": lambda a: a["fraction_of_words_with_alpha_character"] < 0.8,
    "too_few_stop_words": lambda a: a["required_word_count"] < 2,
    "too_many_bullet_lines": lambda a: a["fraction_of_lines_starting_with_bullet_point"] > 0.9,
    "too_many_ellipsis_lines": lambda a: a["fraction_of_lines_ending_with_ellipsis"] > 0.3,
}
REPETITION = {
    "repeated_lines": lambda a: a["fraction_of_duplicate_lines"] > 0.3,
    "repeated_line_chars": lambda a: a["fraction_of_characters_in_duplicate_lines"] > 0.3,
}
for n, limit in zip(range(2, 5), (0.2, 0.18, 0.16), strict=True):
    REPETITION[f"top_{n}gram"] = lambda a, n=n, limit=limit: (
        a.get(f"fraction_of_characters_in_most_common_{n}grams", 0) > limit
    )
for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
    REPETITION[f"repeated_{n}grams"] = lambda a, n=n, limit=limit: (
        a.get(f"fraction_of_characters_in_duplicate_{n}grams", 0) > limit
    )
C4 = {
    "curly_bracket": "has_curly_brace",
    "lorem_ipsum": "has_lorem_ipsum",
    "javascript": "has_javascript",
}


def peer_module(name: str) -> Any:
    """A module of dolma; what its other taggers import and is not installed becomes a stand-in."""
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            assert missing.name and not missing.name.startswith("dolma")
            print(f"stand-in for {missing.name}", file=sys.stderr)
            sys.modules[missing.name] = mock.MagicMock()


def edited(spans: list[Any], text: str) -> dict[str, Any]:
    """`c4`: `kept HASH` of the text without the lines that the tagger marked, or the flag that drops it.

    `c4_edits`: for what it marked lines, for few words only where they have an end mark; `c4_flags`:
    every flag.
    """
    types = {span.type for span in spans}
    no_end, few = (
        {(span.start, span.end) for span in spans if span.type == kind}
        for kind in ("lines_with_no_ending_punctuation", "lines_with_too_few_words")
    )
    found = {
        "c4_edits": ["no_end_mark"] * bool(no_end) + ["few_words"] * bool(few - no_end),
        "c4_flags": [name for name, kind in C4.items() if kind in types],
    }
    if found["c4_flags"]:
        return {"c4": found["c4_flags"][0], **found}
    kept, at = [], 0
    for start, end in sorted(no_end | few):
        kept.append(text[at:start])
        at = max(at, end)
    left = "".join(kept) + text[at:]
    return {"c4": "kept " + hashlib.sha256(left.encode()).hexdigest()[:16], **found}


def main(shared: Path) -> None:
    gopher = peer_module("dolma.taggers.gopher")
    tagger = peer_module("dolma.taggers.c4").FasterC4Tagger()
    document = peer_module("dolma.core.data_types").Document
    real = [row for row in real_rows(shared) if len(row["text"]) <= 4000]
    made = [
        {"text": text}
        for text in itertools.chain(odd_texts(400), varied_texts(700), marked_texts(900))
    ]
    rows = []
    for row in itertools.chain(made, real[::3]):
        spans = gopher.get_attributes(row["text"]).as_spans()
        found = {span.type: span.score for span in spans}
        out = address(row) if "file" in row else row.copy()
        out["quality"] = [name for name, fails in QUALITY.items() if fails(found)]
        out["repetition"] = [name for name, fails in REPETITION.items() if fails(found)]
        marked = tagger.predict(document(source="", id="", text=row["text"])).spans
        rows.append(out | edited(marked, row["text"]))
    head = {
        "peer": "allenai/dolma",
        "version": importlib.metadata.version("dolma"),
        "command": "python tests/conformance/record_dolma.py SHARED_DATA",
        "quality": list(QUALITY),
        "repetition": list(REPETITION),
    }
    write_record(Path(__file__).parent / "recorded" / "dolma.jsonl.gz", head, rows)
    for kind in ("quality", "repetition"):
        print(kind, {name: sum(name in row[kind] for row in rows) for name in head[kind]})
    for key in ("c4_flags", "c4_edits"):
        print(key, Counter(name for row in rows for name in row[key]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
