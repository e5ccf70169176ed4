"""How much personal data `fix.pii` finds in made texts, and how much of what it finds is some.

    python tests/bench/personal.py [--seed N]

Numbers in the spellings of a dozen countries, with right check digits, among words, and in places where
a number ends in the middle of something; beside numbers that are no one's. Recall is the share of
spans that are covered whole, precision the share of found spans that lie in one. Nothing of the
finder is used to make them. The seed is new in each run unless given.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import string
from collections.abc import Callable, Iterator

from ultraclean.text import personal

Piece = tuple[str, str]
"""(kind, text); the kind `no` is no one's, and ends nothing."""

GROUPS = {  # country code -> sizes of groups of the national number, as people there write them
    "1": [(3, 3, 4)], "44": [(2, 4, 4), (3, 3, 4), (4, 6)], "33": [(1, 2, 2, 2, 2)],
    "49": [(2, 8), (3, 7), (2, 3, 2, 3), (4, 6)], "39": [(2, 8), (3, 7)], "34": [(3, 3, 3), (3, 2, 2, 2)],
    "31": [(2, 7), (1, 8)], "41": [(2, 3, 2, 2)], "46": [(2, 3, 2, 2), (1, 3, 3, 2)], "48": [(3, 3, 3)],
    "7": [(3, 3, 2, 2)], "81": [(1, 4, 4), (2, 4, 4)], "82": [(2, 4, 4)], "86": [(3, 4, 4), (2, 8)],
    "91": [(5, 5), (2, 8)], "55": [(2, 5, 4), (2, 4, 4)], "61": [(1, 4, 4), (3, 3, 3)], "65": [(4, 4)],
    "972": [(2, 3, 4)], "971": [(1, 3, 4)], "353": [(1, 3, 4)], "351": [(3, 3, 3)],
}  # fmt: skip
SENTENCE = "we met him at the old house near river and then they said that it was good 我们 在 这里 der die"
WORDS = SENTENCE.split()
IBANS = {"DE": 18, "GB": 0, "FR": 23, "ES": 20, "IT": 0, "NL": 0, "CH": 17, "PL": 24, "BE": 12, "AT": 16, "SE": 20, "PT": 21}  # fmt: skip


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def international(rng: random.Random) -> str:
    code = rng.choice(list(GROUPS))
    sizes = rng.choice(GROUPS[code])
    groups = [digits(rng, size) for size in sizes]
    groups[0] = rng.choice("23456789") + groups[0][1:]
    gap = rng.choice([" ", " ", " ", "-", ".", "\xa0", "", "/"])
    trunk = rng.choice(["", "", "", "(0)"])
    if rng.random() < 0.15:
        groups[0] = f"({groups[0]})"
    lead = rng.choice(["+", "+", "+", "00", "+ "]) + code
    return lead + (gap or " ") + trunk + gap.join(groups)


def national(rng: random.Random) -> str:
    a, b, c = rng.choice("23456789") + digits(rng, 2), rng.choice("23456789") + digits(rng, 2), digits(rng, 4)  # fmt: skip
    two = [digits(rng, 2) for _ in range(4)]
    return rng.choice(
        [
            f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"{a}.{b}.{c}", f"1-{a}-{b}-{c}", f"{a}-{b}-{c} ext. {digits(rng, 3)}",
            f"{a}-{b}-{c}x{digits(rng, 2)}", f"0{rng.randint(1, 9)} {' '.join(two)}",
            f"0{rng.randint(1, 9)}.{'.'.join(two)}", f"020 7{digits(rng, 3)} {c}", f"07{digits(rng, 3)} {digits(rng, 6)}",
            f"0{rng.randint(20, 99)} {digits(rng, 3)}-{c}", f"0{rng.randint(20, 999)}/{digits(rng, 6)}",
            f"0{rng.randint(310, 999)}-{digits(rng, 7)}", f"1{rng.choice('35789')}{digits(rng, 9)}",
            f"010-{digits(rng, 8)}", f"({rng.randint(11, 99)}) 9{digits(rng, 4)}-{c}", f"0{rng.randint(70, 79)}-{digits(rng, 3)} {digits(rng, 2)} {digits(rng, 2)}",
        ]
    )  # fmt: skip


def named(rng: random.Random) -> list[Piece]:
    """A number that only the word before it says to be one."""
    word = rng.choice(["Tel.: ", "phone ", "Phone number: ", "call me on ", "Fax ", "电话：", "手机", "Telefon: ", "tél. ", "Mobile - ", "WhatsApp: ", "T: ", "cell# "])  # fmt: skip
    sizes = rng.choice([(7,), (8,), (3, 4), (4, 4), (3, 3, 3), (3, 2, 2), (10,), (2, 3, 2, 3)])
    number = rng.choice([" ", "-", ".", ""]).join(digits(rng, size) for size in sizes)
    return [("no", word), ("phone", str(rng.randint(2, 9)) + number[1:])]


def luhn(digits_: str) -> str:
    total = sum(
        sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(digits_))
    )
    return digits_ + str(-total % 10)


def card(rng: random.Random, right: bool = True) -> str:
    kind = rng.choice(["4", "51", "55", "2720", "34", "37", "6011", "62", "3528", "36"])
    length = {"34": 15, "37": 15, "36": 14}.get(kind, 16)
    number = luhn(kind + digits(rng, length - len(kind) - 1))
    if not right:
        number = number[:-1] + str((int(number[-1]) + rng.randint(1, 9)) % 10)
    gap = rng.choice([" ", " ", "-", "", ".", "\xa0", "–", "  "])
    sizes = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    ends = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    return gap.join(number[a:b] for a, b in itertools.pairwise(ends))


def iban(rng: random.Random, right: bool = True) -> str:
    country = rng.choice(list(IBANS))
    if country == "GB":
        body = "".join(rng.choices(string.ascii_uppercase, k=4)) + digits(rng, 14)
    elif country == "NL":
        body = "".join(rng.choices(string.ascii_uppercase, k=4)) + digits(rng, 10)
    elif country == "IT":
        body = rng.choice(string.ascii_uppercase) + digits(rng, 22)
    else:
        body = digits(rng, IBANS[country])
    turned = "".join(str(int(char, 36)) for char in f"{body}{country}00")
    check = 98 - int(turned) % 97
    whole = f"{country}{check if right else (check + 1) % 97:02d}{body}"
    gap = rng.choice([" ", " ", " ", "", "-", "\xa0"])
    whole = gap.join(whole[at : at + 4] for at in range(0, len(whole), 4))
    return rng.choice([whole, whole, whole, whole.lower() if " " not in whole else whole])


def email(rng: random.Random, letters: str = string.ascii_lowercase) -> str:
    word = lambda low, high: "".join(rng.choices(letters, k=rng.randint(low, high)))  # noqa: E731
    local = rng.choice([word(3, 8), f"{word(2, 5)}.{word(3, 8)}", f"{word(3, 6)}+{word(2, 5)}", f"{word(1, 1)}_{word(4, 7)}{rng.randint(1, 99)}", f"{word(2, 4)}-{word(2, 4)}", f"{word(3, 6).upper()}"])  # fmt: skip
    host = rng.choice([f"{word(3, 9)}", f"mail.{word(3, 6)}", f"{word(2, 4)}-{word(2, 5)}"])
    return f"{local}@{host}.{rng.choice(['com', 'de', 'co.uk', 'org', 'museum', 'io'])}"


def no_ones(rng: random.Random) -> str:
    n = rng.randint
    return rng.choice(
        [
            f"{n(1, 31):02d}.{n(1, 12):02d}.{n(1900, 2030)}", f"{n(1900, 2030)}-{n(1, 12):02d}-{n(1, 28):02d} {n(0, 23):02d}:{n(0, 59):02d}:{n(0, 59):02d}",
            f"v{n(0, 9)}.{n(0, 99)}.{n(0, 9)}", f"${n(1, 999)},{n(0, 999):03d},{n(0, 999):03d}.{n(0, 99):02d}", f"{n(1, 999)} {n(0, 999):03d} {n(0, 999):03d} people",
            f"ISBN 978-{n(0, 9)}-{n(10, 99)}-{n(100000, 999999)}-{n(0, 9)}", f"pp. {n(100, 400)}-{n(401, 900)}", f"0x{n(0, 2**40):x}", f"10.{n(1000, 9999)}/{n(100, 999)}-{n(100, 999)}-{n(1000, 9999)}",
            f"{n(0, 9)}.{digits(rng, 12)}", f"order {digits(rng, 11)}", f"#{digits(rng, 9)}", f"{n(10, 89)}.{digits(rng, 6)}, {n(10, 89)}.{digits(rng, 6)}",
            f"{n(1, 9)}:{digits(rng, 2)}:{digits(rng, 2)}.{digits(rng, 3)}", f"SKU-{digits(rng, 4)}-{digits(rng, 4)}", f"{n(1, 12)}/{n(1, 28)}/{n(1950, 2030)}",
            f"{n(1990, 2024)} {n(1990, 2024)} {n(1990, 2024)}", f"{digits(rng, 20)}", f"RFC {n(1000, 9999)}, {n(1, 99)} of {n(100, 999)}", f"{n(1, 9)} x {n(10, 99)} x {n(100, 999)} mm",
            f"doi:10.{n(1000, 9999)}/s{digits(rng, 5)}-{digits(rng, 3)}-{digits(rng, 5)}-{n(0, 9)}", f"{n(100, 999)}-{n(100, 999)}", f"CVE-20{n(10, 26)}-{n(1000, 99999)}", f"arXiv:{n(1000, 2612)}.{n(10000, 99999)}",
            f"mtime {n(10**9, 2 * 10**9)}", f"{n(0, 255):02x} {n(0, 255):02x} {n(0, 99):02d} {n(0, 99):02d} {n(0, 99):02d} {n(0, 99):02d}", card(rng, right=False), iban(rng, right=False),
        ]
    )  # fmt: skip


MAKERS: dict[str, Callable[[random.Random], list[Piece]]] = {
    "phone, international": lambda rng: [("phone", international(rng))],
    "phone, national": lambda rng: [("phone", national(rng))],
    "phone after a word": named,
    "phone and a word": lambda rng: [
        rng.choice([("phone", international(rng)), ("phone", national(rng)), named(rng)[1]]),
        ("no", rng.choice([" fax", " (mobile)", " - office", " Home", "/fax", " tel"]) + "\n"),
    ],
    "card": lambda rng: [("card", card(rng))],
    "iban": lambda rng: [("iban", iban(rng))],
    "email": lambda rng: [("email", email(rng))],
    "email beyond ASCII": lambda rng: [
        ("unicode_email", email(rng, rng.choice(["abcdeéüößñç", "абвгдежз", "αβγδεζ"])))
    ],
    "nobody's": lambda rng: [("no", no_ones(rng))],
}
FINDERS = {
    "phone": personal.phones,
    "card": personal.cards,
    "iban": personal.ibans,
    "email": personal.emails,
    "unicode_email": functools.partial(personal.emails, unicode=True),
}
AFTER = [" ", " ", " ", ". ", ", ", ")", "\n", "; ", " or ", " 然后", "，", "。", " (there)", "!", " today "]  # fmt: skip


def texts(row: str, count: int, seed: int) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """(text, spans of personal data by kind)."""
    rng = random.Random(f"{seed} {row}")
    for _ in range(count):
        pieces: list[Piece] = [("no", " ".join(rng.choices(WORDS, k=rng.randint(1, 6))) + " ")]
        pieces += [*MAKERS[row](rng), ("no", rng.choice(AFTER))]
        pieces.append(("no", " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))))
        text, spans = "", []
        for kind, piece in pieces:
            if kind != "no":
                spans.append((kind, len(text), len(text) + len(piece)))
            text += piece
        yield text, spans


def measured(row: str, count: int, seed: int) -> tuple[float, dict[str, int], list[str]]:
    """(recall, false finds by kind, some of what was missed)."""
    n_gold = n_whole = 0
    false: dict[str, int] = {}
    missed = []
    for text, gold in texts(row, count, seed):
        kinds = {kind for kind, _, _ in gold} or {"phone", "card", "iban", "email", "unicode_email"}
        for kind in kinds:
            found = list(FINDERS[kind](text))
            for _, first, last in gold:
                n_gold += 1
                whole = any(a <= first and last <= b for a, b in found)
                n_whole += whole
                if not whole:
                    missed.append(text)
            wrong = [s for s in found if not any(s[0] < b and a < s[1] for _, a, b in gold)]
            if wrong:
                false[kind] = false.get(kind, 0) + len(wrong)
                missed += [text] * (not gold)
    return n_whole / max(n_gold, 1), false, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--missed", type=int, default=0, help="show so many texts that were missed")
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.count:,} texts of each\n")
    print("| what | covered whole | found where nothing is |\n|---|---|---|")
    for row in MAKERS:
        recall, false, missed = measured(row, given.count, given.seed)
        share = "" if row == "nobody's" else f"{recall:.1%}"
        told = ", ".join(f"{kind} {n / given.count:.2%}" for kind, n in sorted(false.items()))
        print(f"| {row} | {share} | {told or 'none'} |")
        for text in missed[: given.missed]:
            print("   ", repr(text))


if __name__ == "__main__":
    main()
