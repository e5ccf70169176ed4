"""fix.pii: what is masked, what is not, and how well on labelled sentences."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.stages.fix.pii import REPLACEMENTS, Pii
from ultraclean.text import personal

EMAIL, EMAIL_2 = REPLACEMENTS["email"]
PHONE, PHONE_2 = REPLACEMENTS["phone"]
CARD = REPLACEMENTS["card"][0]

CASES = {
    "write to Jo.Doe+x@mail.example.co.uk, or a@b.de!": f"write to {EMAIL}, or {EMAIL_2}!",
    "联系我：zhang@qq.com。": f"联系我：{EMAIL}。",
    "root@[8.8.8.8] and 8.8.8.8": f"{EMAIL} and {REPLACEMENTS['ip'][0]}",
    "at 10.0.0.1 and 192.168.1.1 and 300.1.1.1": "at 10.0.0.1 and 192.168.1.1 and 300.1.1.1",
    "+1 (212) 736-5000 or 212-736-5000 x12": f"{PHONE} or {PHONE_2}",
    "手机13812345678，座机010-62345678": f"手机{PHONE}，座机{PHONE_2}",
    "Tel.: 467 33 95 20\r\n": f"Tel.: {PHONE}\r\n",
    "+44 20 7946 0958, 01.84.17.61.18": f"{PHONE}, {PHONE_2}",
    "card 4539 1488 0343 6467.": f"card {CARD}.",
    "card 4539 1488 0343 6468, no check": "card 4539 1488 0343 6468, no check",
    "phone: 4539148803436467": f"phone: {CARD}",
    "card 4539 1488 0343 6467 12/26": f"card {CARD} 12/26",
    "4539.1488.0343.6467 or 12 4539\xa01488\xa00343\xa06467": f"{CARD} or 12 {CARD}",
    "+49 (0)30 / 901820, 0049 30 901820": f"{PHONE}, {PHONE_2}",
    "tél. 3665075; 0725/583213; 07411 664476": f"tél. {PHONE}; {PHONE_2}; {PHONE}",
    "Office,+41 (0)69 979 80 58-Fax or +1-604-696-5272x565": f"Office,{PHONE}-Fax or {PHONE_2}",
    "930 167 394 fax\n28-64-66-98 office\n12 000 000 mobile users": f"{PHONE} fax\n{PHONE_2} office\n12 000 000 mobile users",
    "": "",
    "😀 plain": "😀 plain",
}
HARMLESS = (
    "In 1999-2004 he sold 1,234,567 copies for $12 345 678 (ISBN 978-3-16-148410-0).",
    "tel aviv, 2024-05-17 10:30:00; phone 3, call 911 or 10086; call 1990-01-02 it",
    "3.14159265358979 0x1234567890 00000000000 1111111111 call 1111111111",
    "1600 1700 1800 1900, pages 100-200-300, 2001 2002 2003; 10.1000/182-555-0147",
    "order 20240517123456789, user_4155551234, 12:30:45:99",
    "x + 48 547 080 453 = 3 + 48 547 080 453; 0a 05 41 60 93 23; 4539.14880343.6467",
    "00 00 00 01 00 00 10 20 99 and 1-2-3-4-5-6-7-8",
)


def masked(text: str, **fields: Any) -> str:
    result = Pii(**fields).open()(Batch.of(text=[text]))["text"][0].as_py()
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize("text", CASES)
def test_cases(text: str) -> None:
    assert masked(text) == CASES[text]


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_that_are_no_ones(text: str) -> None:
    assert masked(text, kinds=("email", "ip", "card", "phone", "iban")) == text


def test_kinds_are_chosen() -> None:
    text = "a@b.de 8.8.8.8 4539148803436467 +442079460958 2a00:1450:4001:81b::200e GB82 WEST 1234 5698 7654 32 AND"  # fmt: skip
    for kind in ("email", "ip", "card", "phone", "ipv6", "iban"):
        changed = masked(text, kinds=(kind,))
        assert REPLACEMENTS[kind][0] in changed
        assert len(set(text.split()) - set(changed.split())) == (6 if kind == "iban" else 1)
    assert masked(text, kinds=()) == text
    assert masked("GB82 WEST 1234 5698 7654 33", kinds=("iban",)) == "GB82 WEST 1234 5698 7654 33"


def test_account_numbers_as_they_are_typed() -> None:
    right = (
        "de89370400440532013000",
        "DE89-3704-0044-0532-0130-00",
        "NL91\xa0ABNA\xa00417\xa01643\xa000",
    )
    assert masked(" ".join(right), kinds=("iban",)) == " ".join(REPLACEMENTS["iban"] * 3)
    # another length than Germany's, a check that is wrong, two cases mixed, no country
    for wrong in ("DE8937040044053201300", "DE88370400440532013000", "de89370400440532013OOO", "ZZ89370400440532013000"):  # fmt: skip
        assert masked(wrong, kinds=("iban",)) == wrong


def test_addresses_in_other_alphabets_are_asked_for() -> None:
    text = "müller@bücher.de 联系zhang@qq.com的 иван@почта.рф joe@x.org"
    assert masked(text, kinds=("email",)).startswith(f"mü{EMAIL}") is False
    wide = masked(text, kinds=("email",), unicode_emails=True)
    assert wide == f"{EMAIL} 联系{EMAIL_2}的 {EMAIL} {EMAIL_2}"


def test_national_ids_are_masked_only_where_asked_for() -> None:
    ids = {
        "us_ssn": ("536-90-4399", "666-90-4399"),
        "cn_id": ("11010519491231002X", "110105194912310021"),
        "uk_nino": ("AB 12 34 56 C", "DB 12 34 56 C"),
        "es_dni": ("12345678Z", "12345678A"),
    }
    for kind, (real, wrong) in ids.items():
        text = f"id {real}, not {wrong}"
        assert masked(text) == text
        assert masked(text, national_ids=(kind,)) == f"id {REPLACEMENTS[kind][0]}, not {wrong}"
    assert masked("身份证11010519491231002X号", national_ids=("cn_id",)).startswith("身份证1101011")


def test_replacements_take_turns_within_a_document_and_begin_anew_with_each() -> None:
    batch = Batch.of(text=["a@b.de a@b.de a@b.de", "x@y.org"])
    assert Pii().open()(batch)["text"].to_pylist() == [f"{EMAIL} {EMAIL_2} {EMAIL}", EMAIL]
    own = Pii(replacements={"email": ("<EMAIL>",)}).open()(batch)["text"].to_pylist()
    assert own == ["<EMAIL> <EMAIL> <EMAIL>", "<EMAIL>"]
    with pytest.raises(
        ValidationError, match="'mail' is no kind of personal data; there are: email"
    ):
        Pii(replacements={"mail": ("x",)})
    with pytest.raises(ValidationError, match="email: at least one replacement is needed"):
        Pii(replacements={"email": ()})


def test_public_addresses_only_unless_told() -> None:
    assert masked("10.0.0.1", public_ips_only=False) == REPLACEMENTS["ip"][0]
    assert masked("fe80::1:2:3", kinds=("ipv6",)) == "fe80::1:2:3"
    assert masked("fe80::1:2:3", kinds=("ipv6",), public_ips_only=False) == "2001:db8::1"


def test_nulls_slices_types_and_unchanged_batches() -> None:
    mask = Pii().open()
    batch = Batch.of(text=pa.array(["x", None, "a@b.de", ""], pa.large_string()))
    assert mask(batch)["text"].to_pylist() == ["x", None, EMAIL, ""]
    assert mask(batch)["text"].type == pa.large_string()
    assert mask(batch.slice(2, 1))["text"].to_pylist() == [EMAIL]
    clean = Batch.of(text=["x", None])
    assert mask(clean) is clean
    assert mask(clean.slice(0, 0)).num_rows == 0


def test_no_text_takes_long() -> None:
    """Runs on which a search could take quadratic time, each of 200,000 characters."""
    mask = Pii(kinds=("email", "ip", "ipv6", "card", "iban", "phone"), national_ids=("us_ssn", "cn_id", "uk_nino", "es_dni")).open()  # fmt: skip
    for unit in (
        "a",
        "1",
        "1.",
        "a.",
        "1 ",
        "@",
        "(1",
        "AB12",
        "12:",
        "call ",
        "+",
        "-",
        "a@",
        "0-",
    ):
        begun = time.process_time()
        mask(Batch.of(text=[unit * (200_000 // len(unit))]))
        assert time.process_time() - begun < 10, unit


GOLD: dict[str, tuple[Callable[[str], Iterator[personal.Span]], float, float]] = {
    # label: finder, least recall, least precision
    "EMAIL_ADDRESS": (personal.emails, 1.0, 1.0),
    "CREDIT_CARD": (personal.cards, 0.92, 1.0),
    "PHONE_NUMBER": (personal.phones, 0.88, 0.97),
    "US_SSN": (personal.us_ssn, 1.0, 1.0),
    "IBAN_CODE": (personal.ibans, 1.0, 1.0),
}


@pytest.mark.parametrize("label", GOLD)
def test_labelled_sentences(label: str, shared_data: Path) -> None:
    find, least_recall, least_precision = GOLD[label]
    n_gold = n_recalled = n_found = n_right = 0
    with gzip.open(shared_data / "pii/synth_dataset_v2.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            gold = [
                range(span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] == label
            ]
            found = [range(*span) for span in find(row["full_text"])]
            n_gold, n_found = n_gold + len(gold), n_found + len(found)
            n_recalled += sum(any(set(one) & set(f) for f in found) for one in gold)
            n_right += sum(any(set(one) & set(f) for f in gold) for one in found)
    assert n_gold >= 7
    assert n_recalled / n_gold >= least_recall
    assert n_right / n_found >= least_precision


def test_reviews_and_news_hold_few_numbers(shared_data: Path) -> None:
    n_found = 0
    for name in ("imdb", "openstax"):
        with gzip.open(shared_data / f"text/{name}.jsonl.gz", "rt") as lines:
            texts = [json.loads(line)["text"] for line in lines][:500]
        n_found += sum(len([*personal.phones(text), *personal.cards(text)]) for text in texts)
    assert n_found == 0


def test_as_one_search_over_the_whole_text() -> None:
    """Emails are looked for around `@` only, addresses in runs of digits only: nothing is missed."""
    rng = random.Random(2)
    pieces = [*"ab.@-+1[]: \n中", "a@b.de", "8.8.8.8", "@[1.2.3.4]", "..", "25", "6.", "@@"]
    for _ in range(4000):
        text = "".join(rng.choices(pieces, k=rng.randint(0, 25)))
        whole = [found.span() for found in personal._EMAIL.finditer(text)]
        assert list(personal.emails(text)) == whole, repr(text)
        plain = [found.span() for found in personal._IPV4.finditer(text)]
        assert list(personal.ipv4(text, public_only=False)) == [
            span for span in plain if personal._is_address(text[slice(*span)], False)
        ]
