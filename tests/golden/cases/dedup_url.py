"""Addresses that differ in scheme, www, slash, tracking and fragment; the newest is kept."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.url import Url


def case() -> tuple[Stage, Batch]:
    rows = [
        ("http://www.example.org/a/?utm_source=x", 2019),
        ("https://example.org/a#top", 2024),
        ("example.org/a", None),
        ("https://example.org/a?id=2&x=1", 2020),
        ("https://example.org/a?x=1&id=2&fbclid=q", 2020),
        ("https://example.org/%e4%b8%ad", 1),
        ("https://example.org/中/", 2),
        ("", 1),
        (None, 1),
    ]
    url, year = zip(*rows, strict=True)
    return Url(priority=("year",)), Batch.of(url=url, year=year)
