"""HTTP responses as archives keep them: status, headers, and the body without its encodings.

RFC 9112. Archives are often not true to their headers (Common Crawl removes the chunks and keeps
`Transfer-Encoding`), so an encoding is undone where the bytes bear it out and else left alone.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from ultraclean.stages.read.columns import BadValueError

STATUS: Final = re.compile(rb"HTTP/\d(?:\.\d)? +(\d{3})(?=[ \r\n])|HTTP/\d(?:\.\d)? +(\d{3})\Z")
HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
CHUNK: Final = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` have names in lower case; of a name that occurs twice the first counts."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse(message: bytes, largest_bytes: int) -> Response:
    """A response; BadValueError where it has no status line or its encoding is damaged."""
    line = STATUS.match(message)
    if line is None:
        shown = message[:40].decode("utf-8", "backslashreplace")
        raise BadValueError(f"BadHttp: the response begins with {shown!r}, no status line")
    end = HEAD_END.search(message)
    head, body = (message[: end.start()], message[end.end() :]) if end else (message, b"")
    found = headers(head)
    if "chunked" in found.get("transfer-encoding", "").lower():
        whole = _without_chunks(body)
        body = body if whole is None else whole
    for encoding in reversed(found.get("content-encoding", "").lower().split(",")):
        body = _decoded(body, encoding.strip(), largest_bytes)
    return Response(int(line[1] or line[2]), found, body)


def headers(head: bytes) -> dict[str, str]:
    """The lines `Name: value` behind the first line; lines that begin with a blank continue."""
    found: dict[str, str] = {}
    last = ""
    # bytes that are no UTF-8 stay readable, and Arrow can hold them
    for line in head.decode("utf-8", "backslashreplace").split("\n")[1:]:
        if line[:1] in {" ", "\t"} and last:
            found[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        last = name.strip().lower() if colon else ""
        if last and last not in found:
            found[last] = value.strip()
    return found


def _without_chunks(body: bytes) -> bytes | None:
    """The body without its chunks; None if it has none. Of a cut body what is there."""
    pieces: list[bytes] = []
    place = 0
    while True:
        line = CHUNK.match(body, place)
        if line is None:
            return b"".join(pieces) if pieces and place >= len(body) else None
        size = int(line[1], 16)
        if size == 0:
            return b"".join(pieces)
        start = line.end()
        pieces.append(body[start : start + size])
        place = start + size
        if body[place : place + 2] == b"\r\n":
            place += 2
        elif body[place : place + 1] == b"\n":
            place += 1
        elif place < len(body):
            return None


def _decoded(body: bytes, encoding: str, largest_bytes: int) -> bytes:
    """A body without a content encoding, if the bytes are so encoded."""
    if encoding in {"gzip", "x-gzip"} and body.startswith(b"\x1f\x8b"):
        return _inflated(body, 31, encoding, largest_bytes)
    if encoding == "deflate" and body:
        # some servers leave out the two bytes of zlib's header
        wbits = 15 if body[0] & 15 == 8 and (body[0] * 256 + body[1 % len(body)]) % 31 == 0 else -15
        try:
            return _inflated(body, wbits, encoding, largest_bytes)
        except BadValueError:
            if body.lstrip().startswith(b"<"):
                return body
            raise
    if encoding in {"br", "zstd"} and body.lstrip()[:1] != b"<":
        return _by_module(body, encoding)
    return body


def _inflated(body: bytes, wbits: int, encoding: str, largest_bytes: int) -> bytes:
    """What can be decompressed: a page that the crawler cut is still a page."""
    state = zlib.decompressobj(wbits=wbits)
    try:
        out = state.decompress(body, largest_bytes)
    except zlib.error as error:
        raise BadValueError(f"BadEncoding: the body is no {encoding} ({error})") from None
    if state.unconsumed_tail:
        raise BadValueError(f"TooLarge: the body has more than {largest_bytes:,} bytes")
    return out


def _by_module(body: bytes, encoding: str) -> bytes:
    try:
        if encoding == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return bytes(brotli.decompress(body))
    except ImportError:
        raise BadValueError(f"BadEncoding: no package that decodes {encoding} is there") from None
    except Exception as error:
        raise BadValueError(f"BadEncoding: the body is no {encoding} ({error})") from None
