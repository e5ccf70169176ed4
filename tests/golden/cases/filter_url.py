"""Each kind of list, and URLs that look as if they were listed."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.url import Url


def case() -> tuple[Stage, Batch]:
    stage = Url(
        domains=("bad.org",),
        hosts=("one.host.net",),
        urls=("https://fine.org/only/this",),
        words=("casino",),
        soft_words=("girl", "free", "live"),
        word_parts=("porn",),
    )
    urls = [
        *["http://bad.org/", "http://a.BAD.org:80/x", "http://notbad.org/", "http://one.host.net"],
        *["http://two.one.host.net", "https://fine.org/only/this", "https://fine.org/only/that"],
        *["http://a.org/casino-royale", "http://a.org/Casino", "http://a.org/free/live"],
        *["http://a.org/free", "http://a.org/éP-O-R-Né", "http://例え.jp/", "", None],
    ]
    return stage, Batch.of(url=urls)
