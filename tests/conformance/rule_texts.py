"""Texts made for one drop reason each: near the rule's edge, past every rule that is asked before it.

`made(kind, reason, count)` gives texts of which the rule drops the most, in several scripts; how
many it does drop is for the caller to count. Imports nothing but the standard library.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

ALPHABETS = (
    *["abcdefghijklmnoprstuvwyz"] * 4,
    "αβγδεζηθικλμνξοπρστυφχψω",
    "абвгдежзиклмнопрстуфхцчшщыэюя",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "的一是不了人我在有他这中大来上个国和地到你说时要就出会可也",
)
NEWLINES = ("\n", "\n", "\n", "\r\n")
POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies", "Privacy Policy",
)  # fmt: skip
CITATIONS = ("[1]", "[]", "[12345]", "[edit]", "[citation needed]", "[a]", "[ 1]", "[[2]]", "[１]")
TOP = {2: 0.2, 3: 0.18, 4: 0.16}
REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
FEW_WORDS = 200
"""What `too_many_words` is asked with where 100,000 words cost too much."""

Maker = Callable[[random.Random], str]
MAKERS: dict[tuple[str, str], Maker] = {}
"""(kind of rule set, reason) -> what makes a text; for C4 also why a line, or a part of it, goes."""


def makes(kind: str, reason: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        MAKERS[kind, reason] = maker
        return maker

    return register


def made(kind: str, reason: str, count: int, seed: int = 1) -> Iterator[str]:
    rng = random.Random(f"{seed} {kind} {reason}")
    return (MAKERS[kind, reason](rng) for _ in range(count))


def very_long(count: int, seed: int = 1) -> Iterator[str]:
    """Around 100,000 words, for the limit as it is published."""
    rng = random.Random(f"{seed} very long")
    few = ["the", "of", "abc", "word", "longer", "—", "it's"]
    for _ in range(count):
        yield " ".join(rng.choices(few, k=rng.randint(112_000, 140_000)))


class Words:
    """Words of one script, by chance, so that hardly one comes twice."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.letters = "".join(rng.choices(rng.choice(ALPHABETS), k=3000))

    def of(self, *sizes: int) -> list[str]:
        starts = self.rng.choices(range(len(self.letters) - max(sizes, default=0)), k=len(sizes))
        return [self.letters[at : at + size] for at, size in zip(starts, sizes, strict=True)]

    def many(self, count: int, size: int = 6) -> list[str]:
        return self.of(*[size] * count)

    def line(self, count: int = 8, end: str = ".") -> str:
        return " ".join(self.of(*(self.rng.randint(3, 9) for _ in range(count)))) + end

    def lines(self, count: int, words: int = 8, end: str = ".") -> list[str]:
        return [self.line(words, end) for _ in range(count)]


def put(rng: random.Random, among: list[str], what: list[str]) -> list[str]:
    """`what` at random places among the others."""
    for one in what:
        among.insert(rng.randint(0, len(among)), one)
    return among


def spaced(words: list[str], per_line: int = 12) -> str:
    starts = range(0, len(words), per_line)
    return "\n".join(" ".join(words[at : at + per_line]) for at in starts)


# --- Gopher's quality ---------------------------------------------------------------------------


@makes("quality", "too_few_words")
def few(rng: random.Random) -> str:
    return spaced(put(rng, Words(rng).many(rng.randint(30, 51)), ["the", "of", "—"]))


@makes("quality", "too_many_words")
def many(rng: random.Random) -> str:
    return spaced(
        put(rng, Words(rng).many(rng.randint(FEW_WORDS - 5, FEW_WORDS + 50)), ["the", "of"])
    )


@makes("quality", "short_words")
def short(rng: random.Random) -> str:
    weights = [2, 6, 4, 2, rng.choice([0, 1, 2, 4])]
    return spaced(Words(rng).of(*rng.choices([1, 2, 3, 4, 5], weights, k=80)))


@makes("quality", "long_words")
def long(rng: random.Random) -> str:
    return spaced(
        Words(rng).of(*rng.choices([8, 9, 10, 11, rng.choice([11, 13, 15, 16, 18])], k=80))
    )


def symbols(*marks: str) -> Maker:
    def text(rng: random.Random) -> str:
        share = rng.uniform(0.098, 0.13)
        found = [rng.choice(marks)] * round(100 * share / (1 - share))
        return spaced(put(rng, Words(rng).many(100), found))

    return text


makes("quality", "too_many_hashes")(symbols("#"))
makes("quality", "too_many_ellipses")(symbols("…", "..."))


@makes("quality", "too_many_bullet_lines")
def bullets(rng: random.Random) -> str:
    n_lines, mark = rng.randint(10, 20), rng.choice(["- ", "• ", "  -", "-", "\t• "])
    plain = rng.choice([0, 0, 0, 1])
    lines = [mark + line for line in Words(rng).lines(n_lines - plain)]
    return rng.choice(NEWLINES).join(put(rng, lines, Words(rng).lines(plain)))


@makes("quality", "too_many_ellipsis_lines")
def trailing_off(rng: random.Random) -> str:
    mark, n_such = rng.choice(["…", "...", "... "]), rng.randint(6, 14)
    lines = put(rng, Words(rng).lines(n_such, 9, mark), Words(rng).lines(20 - n_such, 9))
    return rng.choice(NEWLINES).join(lines)


@makes("quality", "too_few_alphabetic_words")
def numbers(rng: random.Random) -> str:
    found = [str(rng.randint(100, 99999)) for _ in range(rng.randint(18, 40))]
    return spaced(put(rng, Words(rng).many(100 - len(found)), found))


@makes("quality", "too_few_stop_words")
def no_stops(rng: random.Random) -> str:
    stops = rng.choice([[], ["the"], ["of"] * 5, ["The", "the", "AND"], ["the", "of"]])
    return spaced(put(rng, Words(rng).many(70), list(stops)))


# --- Gopher's repetition ------------------------------------------------------------------------


@makes("repetition", "empty")
def nothing(rng: random.Random) -> str:
    return ""


def pieces_again(gap: str) -> Maker:
    return lambda rng: gap.join(again(rng, Words(rng).lines(12, 6), rng.randint(5, 9)))


def long_pieces_again(gap: str) -> Maker:
    """Few, but long ones: the share of characters counts, and not that of pieces."""

    def text(rng: random.Random) -> str:
        words = Words(rng)
        long = words.lines(2, rng.randint(15, 30))
        return gap.join(put(rng, words.lines(12, 6) + long, rng.choices(long, k=rng.randint(2, 3))))

    return text


def again(rng: random.Random, pieces: list[str], count: int) -> list[str]:
    return put(rng, pieces, rng.choices(pieces, k=count))


def one_ngram_often(size: int) -> Maker:
    """Each time among other words."""

    def text(rng: random.Random) -> str:
        words, times = Words(rng), rng.randint(3, 5)
        gram, share = words.many(size, 5), TOP[size] * rng.uniform(0.98, 1.15)
        total = times * (6 * size - 1) / share / 6
        gaps = [words.many(1, 5) for _ in range(times)]
        for one in words.many(max(0, round(total) - times * (size + 1)), 5):
            rng.choice(gaps).append(one)
        return spaced([word for gap in gaps for word in gap + gram])

    return text


def ngrams_twice(size: int) -> Maker:
    """Runs of n words that occur twice, so that shorter n-grams have a smaller share."""

    def text(rng: random.Random) -> str:
        words, runs = Words(rng), 2
        share = REPEATED[size] * rng.uniform(0.98, 1.1)
        grams = [words.many(size, 5) for _ in range(runs)]
        n_others = round(runs * size * 5 / share / 6) - 2 * runs * size
        pieces = grams + [[one] for one in words.many(n_others, 5)]
        rng.shuffle(pieces)
        others = [piece for piece in pieces if len(piece) == 1]
        for gram, after in zip(grams, rng.sample(others, runs), strict=True):
            after.extend(gram)
        return spaced([word for piece in pieces for word in piece], 40)

    return text


for _gap, _name in (("\n\n", "paragraph"), ("\n", "line")):
    makes("repetition", f"repeated_{_name}s")(pieces_again(_gap))
    makes("repetition", f"repeated_{_name}_chars")(long_pieces_again(_gap))
for _size in TOP:
    makes("repetition", f"top_{_size}gram")(one_ngram_often(_size))
for _size in REPEATED:
    makes("repetition", f"repeated_{_size}grams")(ngrams_twice(_size))


# --- C4 -----------------------------------------------------------------------------------------


@makes("c4", "too_few_sentences")
def few_sentences(rng: random.Random) -> str:
    ends = [rng.choice([".", "!", "?", '."', "…", "...", ""]) for _ in range(rng.randint(1, 8))]
    return rng.choice(NEWLINES).join(Words(rng).line(6, end) for end in ends)


def flawed(reason: str, *flaws: Callable[[random.Random], str], times: int = 1) -> None:
    """Lines with the flaw among enough sentences that are kept."""

    @makes("c4", reason)
    def text(rng: random.Random) -> str:
        lines = [rng.choice(flaws)(rng) for _ in range(times)]
        return rng.choice(NEWLINES).join(put(rng, Words(rng).lines(rng.randint(5, 9), 6), lines))


def one_of(*lines: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(lines)


flawed(
    "lorem_ipsum",
    one_of(*["We say lorem ipsum here.", "A Lorem IPSUM!"] * 3, "Not lorem  ipsum it."),
)
flawed("curly_bracket", one_of(*["Here is { now.", "It{is} so here."] * 3, "Only } is here."))
flawed(
    "long_word",
    lambda rng: f"It is {Words(rng).of(rng.choice([1000, 1001, 1001, 1002, 1300]))[0]} here.",
)
flawed(
    "no_end_mark",
    lambda rng: Words(rng).line(6, rng.choice(["", ",", "...", "…", "。", ":", "؟", ".)", ". ."])),
    times=3,
)
flawed(
    "few_words",
    one_of("One two.", "Yes!", "One [1] two.", "One two three.", ".", '"', "Two\xa0words."),
    times=3,
)
flawed(
    "javascript",
    one_of(*["Turn javascript on now.", "No JavaScripts here!"] * 3, "Java script is it."),
)
flawed("policy", lambda rng: f"This site has {rng.choice(POLICIES)} for all.")
flawed(
    "citations",
    lambda rng: Words(rng).line(6, rng.choice(CITATIONS) + "."),
    lambda rng: f"{rng.choice(CITATIONS)} It was so here.{rng.choice(['', '', '', '[1]'])}",
    times=2,
)


# --- FineWeb ------------------------------------------------------------------------------------


@makes("fineweb", "empty")
def blank(rng: random.Random) -> str:
    return "".join(rng.choices(" \n\t\r\x0b\x0c\x1c\x85\xa0\u2028\u3000", k=rng.randint(0, 9)))


@makes("fineweb", "few_ended_lines")
def few_ended(rng: random.Random) -> str:
    lines = Words(rng).lines(rng.randint(7, 12), 8, rng.choice(["", ",", "…", ":", ". "]))
    return "\n".join(put(rng, lines, Words(rng).lines(1)))


@makes("fineweb", "short_lines")
def short_lines(rng: random.Random) -> str:
    words, n_short = Words(rng), rng.randint(13, 19)
    lines = [" ".join(words.of(9, 9, rng.randint(5, 9))) + "." for _ in range(n_short)]
    return "\n".join(put(rng, lines, words.lines(20 - n_short, 12)))


@makes("fineweb", "repeated_line_chars")
def one_line_again(rng: random.Random) -> str:
    words = Words(rng)
    lines = [
        " ".join(words.of(rng.randint(8, 16), 12, 12)) + "." for _ in range(rng.randint(60, 105))
    ]
    return "\n".join(again(rng, lines, 1))


@makes("fineweb", "list")
def listed(rng: random.Random) -> str:
    words = Words(rng)
    lines = [" ".join(words.many(rng.choice([1, 2, 3]), 17)) + "." for _ in range(20)]
    return rng.choice(["\n", "\n\n"]).join(lines)
