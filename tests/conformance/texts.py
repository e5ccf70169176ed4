"""Texts for comparing decisions: real ones by address, and generated ones near the edge of every rule.

Imports nothing but the standard library, as peers' environments run it too.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIECES = [
    "the", "be", "to", "of", "and", "that", "have", "with", "The", "word", "ab", "a", "bc", "c",
    "end.", "what?", "so!", '"quoted"', "it's", "don't", "Mr.", "U.S.", "end.Next", "dots...", "…",
    "...", "....", "......", "#", "##", "#tag", "-", "•", "- item", "• item", "[1]", "[edit]",
    "[citation needed]", "{", "}", "lorem ipsum", "Lorem Ipsum", "javascript", "JavaScript",
    "privacy policy", "uses cookies", ":)", ":) )", "(", ")", "1234", "3.14", "--", "!!!", "中文",
    "中文。", "标点，符号！", "你好？", "עברית", "العربية؟", "हिन्दी।", "é", "e\u0301", "😀", "👨‍👩‍👧", "\u200b",
    "\ufeff", "\x00", "\x07", "http://a.b/c?d=e", "me@x.org", "x" * 31, "y" * 1001, "１", "％", "ǅ",
]  # fmt: skip
GAPS = [
    " ", " ", " ", " ", " ", " ", "  ", "\n", "\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r",
    "\t", "\v", "\f", "\x1c", "\x85", "\xa0", "\u2028", "\u2029", "\u3000", "\u2003", "",
]  # fmt: skip
EDGES = [
    "", " ", "\n", "\n\n", " \n \n ", "\r\n", "\u3000", "a", "a.", "\na\n", "\n\na\n\n", "a\n\na",
    "one two three four", "a b c d e" * 40, "a b a b c d c d " * 20, "ab c a bc " * 30,
    "- a\n" * 9 + "b\n", "- a\n" * 10, "a...\n" * 3 + "b\n" * 7, "a…\n" * 31 + "b\n" * 69,
    "the and " * 25, "the and " * 24 + "the", "the " * 50, "abc " * 50 + "the of", "ab " * 50,
    "abcdefghij " * 50 + "the of", "abcdefghijk " * 50, "word # " * 30, "word. " * 200,
    "A line of text.\n" * 3 + "Another line of it.\n" * 3, "x" * 30 + "\n" + "y" * 31,
    "Just a sentence here. " * 5, "Is this it? " * 4, "lorem ipsum\n" + "It ends here now.\n" * 6,
    "We say lorem ipsum here.\n" + "It ends here now.\n" * 6, "Six { words that end here.\n" * 6,
    "One [1] two[2] three.[3]\n" * 6, "[1] [2] [3].\n" * 6, "[1][2] a.\n" * 6,
    "It is " + "y" * 1001 + " here.\nIt is so here.\n" * 6, "a\x1cb\x1dc\x1ed\x85e\u2028f\u2029g.",
    "\ufeffThe text of the file.\r\nAnd that of the other with it.\r\n" * 6,
]  # fmt: skip


def odd_texts(count: int, seed: int = 5) -> Iterator[str]:
    """Texts in which every rule is near its edge, over few pieces so that much repeats."""
    rng = random.Random(seed)
    yield from EDGES
    for _ in range(count):
        pieces = rng.sample(PIECES, rng.choice([1, 2, 3, 5, 10, len(PIECES)]))
        gaps = rng.sample(GAPS, rng.choice([1, 2, 4, len(GAPS)]))
        length = rng.choice([1, 2, 4, 5, 10, 40, 60, 200])
        yield "".join(rng.choice(pieces) + rng.choice(gaps) for _ in range(length))
    for _ in range(count):
        sentences = [
            " ".join(rng.choice(PIECES[:14]) for _ in range(rng.randint(3, 9)))
            + rng.choice([".", "!", "", "..."])
            for _ in range(rng.choice([2, 6, 12]))
        ]
        gap = rng.choice(["\n", "\n\n", " ", "\r\n"])
        yield gap.join(rng.choice(sentences) for _ in range(rng.choice([5, 12, 30])))


def varied_texts(count: int, seed: int = 6) -> Iterator[str]:
    """Longer texts of many different words, with some of what each rule looks for put in."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnoprstuvwz"
    spoilers = ["#", "…", "...", ". . .", "12", "--", "word…", "#x", "的", "它。", "אב", "x" * 40]
    for _ in range(count):
        length = rng.choice([2, 4, 5, 8, 12])
        n_words = rng.choice([45, 49, 50, 51, 60, 120, 400])
        words = [
            "".join(rng.choices(letters, k=max(1, length + rng.randint(-2, 2))))
            for _ in range(n_words)
        ]
        for _ in range(rng.choice([0, 1, 2, 5])):
            words[rng.randrange(n_words)] = rng.choice(PIECES[:9])
        share = rng.choice([0, 0, 0.02, 0.1, 0.21])
        spoiler = rng.sample(spoilers, 2)
        words = [rng.choice(spoiler) if rng.random() < share else word for word in words]
        for _ in range(rng.choice([0, 0, 1, 3, 8])):
            start, size = rng.randrange(n_words), rng.choice([2, 4, 6, 9, 12])
            put = rng.randrange(n_words)
            words[put:put] = words[start : start + size]
        per_line = rng.choice([3, 7, 10, 30, len(words)])
        lines = [" ".join(words[at : at + per_line]) for at in range(0, len(words), per_line)]
        mark, share = rng.choice(["- ", "• ", "* ", "● ", " - ", ""]), rng.choice([0, 0.9, 1])
        lines = [mark + line if rng.random() < share else line for line in lines]
        mark, share = rng.choice([".", "…", "...", ". . .", "!"]), rng.choice([0.1, 0.3, 0.95])
        lines = [line + mark if rng.random() < share else line for line in lines]
        for _ in range(rng.choice([0, 0, 1, len(lines) // 2])):
            lines[rng.randrange(len(lines))] = rng.choice(lines)
        yield rng.choice(["\n", "\n\n", "\n \n", "\r\n"]).join(lines)


def marked_texts(count: int, seed: int = 7) -> Iterator[str]:
    """Short texts of whole sentences in which C4's flaws, bullets and ellipses are frequent."""
    rng = random.Random(seed)
    words = PIECES[:12]
    flaws = [
        "Lorem ipsum",
        "javascript",
        "{",
        "[12]",
        "Privacy policy",
        "uses cookies",
        "JavaScript",
    ]
    for _ in range(count):
        flaw, share = rng.choice(flaws), rng.choice([0.05, 0.3])
        mark, end = (
            rng.choice(["- ", "* ", "• ", "● ", ""]),
            rng.choice(["…", "...", ". . .", ".", "!"]),
        )
        lines = []
        for _ in range(rng.choice([5, 10, 11, 20])):
            line = [rng.choice(words) for _ in range(rng.randint(4, 9))]
            line[2] = flaw if rng.random() < share else line[2]
            lines.append(
                rng.choice([mark] * 19 + [""]) + " ".join(line) + rng.choice([end, end, "."])
            )
        yield "\n".join(lines)


def flawed_texts(count: int, seed: int = 9) -> Iterator[str]:
    """Few lines, most with one flaw that C4 removes a line for; often nothing is left."""
    rng = random.Random(seed)
    words = PIECES[:10]
    flaws = [*["q" * 1001] * 3, "w" * 1000, "JavaScript", "javaſcript", "Privacy Policy", "use cookies[3]",
             "terms of use", "uses  cookies", "[citation needed]", "[7]"]  # fmt: skip
    for _ in range(count):
        flaw, share, lines = rng.choice(flaws), rng.choice([0.3, 1, 1]), []
        for _ in range(rng.choice([1, 2, 4])):
            line = [rng.choice(words) for _ in range(rng.choice([2, 3, 4, 5, 6, 9]))]
            line[1] = flaw if rng.random() < share else line[1]
            lines.append(" ".join(line) + rng.choice([".", ".", ".", "!", '."', "'", "…", ""]))
        yield "\n".join(lines)


PERSONAL_PIECES = (
    *"ab.@-+19[]:= \n中\x00", "a@b.de", "8.8.8.8", "@[1.2.3.4]", "..", "25", "6.", "x@y", "10.0.0.1",
    "0.0.0.0", "1.2.3.", "joe@", "example.com", "256.", "#!", "@[a.b:]", "001.002.003.004", "é@ü.de",
)  # fmt: skip


def personal_texts(count: int, seed: int = 11) -> Iterator[str]:
    """E-mail and IP addresses, valid, nearly valid, and of networks that are nobody's."""
    rng = random.Random(seed)
    octets = ["0", "1", "9", "10", "127", "172", "192", "168", "16", "199", "254", "255", "256", "08"]  # fmt: skip
    atoms = ["joe", "Jo.Doe", "a+b", "x_y", "o'neil", "{q}", "ü", "-", "9", "a..b", ".c", "c."]
    hosts = ["example.com", "a.b.co.uk", "x-y.de", "-x.de", "x.de-", "localhost", "[1.2.3.4]", "x..de", "中.cn", "a.b.", "1.2.3.4"]  # fmt: skip
    words = ["mail", "at", "from", "<", ">", "(", ")", ",", ";", "mailto:", "http://", "版本", "v", "="]  # fmt: skip
    for number in range(count):
        if number % 2:
            yield "".join(rng.choices(PERSONAL_PIECES, k=rng.randint(0, 40)))
            continue
        pieces = []
        for _ in range(rng.randint(1, 12)):
            address = ".".join(
                str(rng.randint(0, 300)) if rng.random() < 0.7 else rng.choice(octets)
                for _ in range(rng.choice([4, 4, 4, 4, 3, 5]))
            )
            mail = f"{rng.choice(atoms)}@{rng.choice(hosts)}"
            pieces += [
                rng.choice([address, mail, rng.choice(words)]),
                rng.choice(["", " ", " ", "\n"]),
            ]
        yield "".join(pieces)


def big_texts() -> list[str]:
    """A megabyte on one line, and in one word: what is quadratic shows."""
    rng = random.Random(3)
    words = [rng.choice(PIECES[:20]) for _ in range(200_000)]
    return [
        " ".join(words)[: 2**20],
        "z" * 2**20,
        "the and\n" * 2**17,
        "\n" * 2**20,
        "字。" * 2**18,
    ]


REAL = {
    "text/imdb": 300, "text/bbc": 150, "text/reuters": 300, "text/openstax": 60,
    "text/zh_d2l": 40, "text/zh_lctt": 40, "text/zh_oiwiki": 40, "text/zh_react": 40,
    "text/zh_tidb": 40, "sft/c4_demo": 171, "labels/dclm_human": 246, "langid/udhr": 98,
}  # fmt: skip
"""Files of the shared data, and how many of their first rows the quick tests read."""


def real_rows(folder: Path, limits: dict[str, int] | None = None) -> Iterator[dict[str, Any]]:
    """Texts of the shared data with the file and the row where they are; a limit of 0 is all."""
    for name, limit in (limits or REAL).items():
        with gzip.open(folder / f"{name}.jsonl.gz") as lines:
            for row, line in enumerate(lines):
                if limit and row >= limit:
                    break
                yield {"file": name, "row": row, "text": json.loads(line)["text"]}


def address(row: dict[str, Any]) -> dict[str, Any]:
    """A real text as it may be committed: where it is, and what it hashes to."""
    digest = hashlib.sha256(row["text"].encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return {"file": row["file"], "row": row["row"], "sha256": digest}


def recorded(path: Path, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `record_*.py` wrote: its head, and its rows with their texts joined from `folder`."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        head, *rows = (json.loads(line) for line in lines)
    wanted = {row["file"]: 0 for row in rows if "file" in row}
    texts = {(row["file"], row["row"]): row for row in real_rows(folder, wanted)}
    for row in rows:
        if "file" in row:
            there = texts[row["file"], row["row"]]
            assert address(there)["sha256"] == row["sha256"], f"the shared data changed: {row}"
            row["text"] = there["text"]
    return head, rows


def write_record(path: Path, head: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """One JSON line of the head and one per row; the same bytes for the same content."""
    lines = [json.dumps(row, ensure_ascii=False) for row in (head, *rows)]
    raw = "\n".join(lines).encode("utf-8", "surrogatepass")
    path.write_bytes(gzip.compress(raw, 9, mtime=0))
