"""The characters of a page: byte order mark, valid UTF-8, the HTTP header's charset, the page's, a guess."""

from __future__ import annotations

import codecs
from typing import Final

MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(html: bytes | str, charset: str | None = None) -> str:
    """The characters of a page."""
    if isinstance(html, str):
        return html
    for mark, encoding in MARKS:
        if html.startswith(mark):
            return html[len(mark) :].decode(encoding, "replace")
    # UTF-16 and ISO-2022 have bytes that are valid UTF-8 and mean something else
    if b"\0" not in html[:4096] and b"\x1b$" not in html:
        try:
            return html.decode()
        except UnicodeDecodeError:
            pass
    if charset is not None:
        try:
            return html.decode(_as_browsers_do(charset))
        except (UnicodeDecodeError, LookupError):
            pass
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    encoding = detect_encoding(html, from_html_meta=True) or "utf-8"
    return str(bytes_to_str(html, encoding, errors="replace"))


def _as_browsers_do(charset: str) -> str:
    """WHATWG's reading of names that promise less than pages hold (encoding.spec.whatwg.org)."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    return str(map_encoding_to_html5(charset))
