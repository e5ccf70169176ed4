"""fix.pii masks e-mail and IP addresses as datatrove's PIIFormatter: the same text, byte for byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from texts import personal_texts

pytest.importorskip("datatrove", reason="datatrove is not installed: ultraclean-data[datatrove]")

import datatrove_peer as peer

FILES = ("pii/synth_dataset_v2", "text/imdb", "text/zh_lctt", "text/bbc")


@pytest.mark.parametrize("public_only", [True, False])
def test_made_texts(public_only: bool) -> None:
    wrong, counts = peer.different(*peer.pii(public_only), list(personal_texts(4000)))
    assert not wrong, (len(wrong), wrong[:3])
    assert counts["text changed"] > 2000


@pytest.mark.parametrize("name", FILES)
def test_real_texts(name: str, shared_data: Path) -> None:
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines][:600]
    texts = [row.get("text") or row["full_text"] for row in rows]
    wrong, _ = peer.different(*peer.pii(), texts)
    assert not wrong, (len(wrong), wrong[:3])
