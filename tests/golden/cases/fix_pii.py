"""Each kind, each national identity number, look-alikes, Chinese, null."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.pii import Pii


def case() -> tuple[Stage, Batch]:
    stage = Pii(
        kinds=("email", "ip", "ipv6", "card", "iban", "phone"),
        national_ids=("us_ssn", "cn_id", "uk_nino", "es_dni"),
    )
    texts = [
        *["a@b.de, c.d@e.org and f@g.cn", "8.8.8.8 10.0.0.1 2a00:1450:4001:81b::200e"],
        *[
            "card 4539 1488 0343 6467, not 4539 1488 0343 6468",
            "GB82 WEST 1234 5698 7654 32 AND MORE",
        ],
        *[
            "+44 20 7946 0958 (212) 736-5000 13812345678 tel 467 33 95 20",
            "536-90-4399 666-90-4399",
        ],
        *["身份证11010519491231002X，邮箱：z@q.cn。", "AB 12 34 56 C or 12345678Z"],
        *["ISBN 978-3-16-148410-0 in 2024-05-17 for 1,234,567", "😀", "", None],
    ]
    return stage, Batch.of(text=texts)
