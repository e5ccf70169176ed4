"""Streams of decompressed bytes that give all that can be had of a damaged file, then say so.

The compression is told by the first bytes, not by the name. Nothing is read ahead beyond one block.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

BLOCK: Final = 2**18
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
LZ4: Final = b"\x04\x22\x4d\x18"


class DamagedError(Exception):
    """The compressed stream is cut or corrupt; its text is `Type: message`."""


def compression(head: bytes) -> str | None:
    """`gzip`, `zstd`, `lz4` or None, from the first four bytes of a file."""
    if head.startswith(GZIP):
        return "gzip"
    # zstd may begin with a skippable frame (pzstd does): 0x184D2A50 to 0x184D2A5F
    skippable = head[1:4] == b"\x2a\x4d\x18" and head[:1] and 0x50 <= head[0] <= 0x5F
    if head.startswith(ZSTD) or skippable:
        return "zstd"
    return "lz4" if head.startswith(LZ4) else None


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Decompressed bytes of a stream at its beginning; raises DamagedError after the last good ones."""
    head = stream.read(4)
    kind = compression(head)
    raw = _raw(stream, head)
    if kind == "gzip":
        yield from _gunzip(raw)
    elif kind == "zstd":
        yield from _unzstd(raw)
    elif kind == "lz4":
        yield from _unlz4(stream)
    else:
        yield from raw


def _raw(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    if head:
        yield head
    while block := stream.read(BLOCK):
        yield block


def _gunzip(raw: Iterator[bytes]) -> Iterator[bytes]:
    """All members of a gzip file. Zero bytes between and after members are padding."""
    state: Any = None
    for block in raw:
        data = block
        while data:
            if state is None:
                data = data.lstrip(b"\0")
                if not data:
                    break
                state = zlib.decompressobj(wbits=31)
            before = state.copy()
            try:
                out = state.decompress(data, BLOCK)
            except zlib.error as error:
                yield from _salvage(before, data)
                raise DamagedError(f"CorruptFile: the gzip stream is damaged ({error})") from None
            if out:
                yield out
            if state.eof:
                data, state = state.unused_data, None
            else:
                data = state.unconsumed_tail
    if state is not None:
        yield state.flush()
        raise DamagedError("TruncatedFile: the gzip stream ends early")


def _salvage(state: Any, data: bytes) -> Iterator[bytes]:
    """The output before the damage: byte by byte, since the failing call keeps what it had."""
    for start in range(len(data)):
        tail = data[start : start + 1]
        while tail:
            try:
                out = state.decompress(tail, 4096)
            except zlib.error:
                return
            if out:
                yield out
            tail = state.unconsumed_tail


def _unzstd(raw: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    # `zstd --long` makes windows of up to 2 GiB, which the library refuses unless told
    context = zstandard.ZstdDecompressor(max_window_size=2**31)
    state: Any = None
    for block in raw:
        # a few input bytes can be 128 KiB of output, so small steps bound the memory; and a call
        # that meets damage keeps what it had, so they bound the loss too
        for start in range(0, len(block), 2**12):
            data = block[start : start + 2**12]
            while data:
                state = state or context.decompressobj()
                try:
                    out = state.decompress(data)
                except zstandard.ZstdError as error:
                    message = f"CorruptFile: the zstd stream is damaged ({error})"
                    raise DamagedError(message) from None
                if out:
                    yield out
                if not state.eof:
                    break
                data, state = state.unused_data, None
    if state is not None:
        raise DamagedError("TruncatedFile: the zstd stream ends early")


def _unlz4(stream: IO[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    stream.seek(0)
    opened = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "lz4")
    try:
        while block := opened.read(BLOCK):
            yield block
    except OSError as error:
        cut = "runcated" in str(error)
        kind = "TruncatedFile" if cut else "CorruptFile"
        raise DamagedError(f"{kind}: the lz4 stream is damaged ({error})") from None
