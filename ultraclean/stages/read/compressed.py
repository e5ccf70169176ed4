"""Streams of decompressed bytes that give all that can be had of a damaged file, and say so.

The compression is told by the first bytes, not by the name. Nothing is read ahead beyond one block.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

BLOCK: Final = 2**18
STEP: Final = 2**15
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
LZ4: Final = b"\x04\x22\x4d\x18"
BZIP2: Final = b"BZh"


class DamagedError(Exception):
    """The compressed stream is cut or corrupt; its text is `Type: message`."""


def compression(head: bytes) -> str | None:
    """`gzip`, `zstd`, `lz4`, `bzip2` or None, from the first four bytes of a file."""
    if head.startswith(GZIP):
        return "gzip"
    # zstd may begin with a skippable frame (pzstd does): 0x184D2A50 to 0x184D2A5F
    skippable = head[1:4] == b"\x2a\x4d\x18" and head[:1] and 0x50 <= head[0] <= 0x5F
    if head.startswith(ZSTD) or skippable:
        return "zstd"
    if head.startswith(BZIP2) and head[3:4] in {bytes([digit]) for digit in b"123456789"}:
        return "bzip2"
    return "lz4" if head.startswith(LZ4) else None


def blocks(stream: IO[bytes]) -> Iterator[bytes | DamagedError]:
    """Decompressed bytes of a stream at its beginning; at damage what happened.

    Bytes may follow: a gzip file is read on at the next member that can be decompressed.
    """
    head = stream.read(4)
    kind = compression(head)
    if kind == "gzip":
        yield from _gunzip(stream, head)
        return
    try:
        if kind == "zstd":
            yield from _unzstd(_raw(stream, head))
        elif kind == "lz4":
            yield from _unlz4(stream)
        elif kind == "bzip2":
            yield from _unbzip2(_raw(stream, head))
        else:
            yield from _raw(stream, head)
    except DamagedError as error:
        yield error


def _raw(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    if head:
        yield head
    while block := stream.read(BLOCK):
        yield block


def _gunzip(stream: IO[bytes], head: bytes) -> Iterator[bytes | DamagedError]:
    """All members of a gzip file. Zero bytes between and after members are padding."""
    state: Any = None
    data, offset = memoryview(head), 0  # `data` begins at `offset` of the file
    while data or (data := memoryview(stream.read(BLOCK))):
        if state is None:
            if data[0] == 0:
                n_padding = len(data) - len(data := memoryview(bytes(data).lstrip(b"\0")))
                offset += n_padding
                if not data:
                    continue
            state, member = zlib.decompressobj(wbits=31), offset
        # zlib copies what it does not use, so it is given little; a copy of a new state is cheap
        # to make when it is needed
        given = data[:STEP]
        before = state.copy() if offset > member else None
        try:
            out = state.decompress(given, BLOCK)
        except zlib.error as error:
            yield _salvage(before or zlib.decompressobj(wbits=31), given)
            yield DamagedError(f"CorruptFile: the gzip stream is damaged ({error})")
            # a damaged member may be noticed only some way into the next ones
            found = _next_member(stream, max(member + 1, offset - BLOCK))
            if found is None:
                return
            stream.seek(found)
            state, data, offset = None, memoryview(b""), found
            continue
        if out:
            yield out
        n_rest = len(state.unused_data if state.eof else state.unconsumed_tail)
        offset += len(given) - n_rest
        data = data[len(given) - n_rest :]
        if state.eof:
            state = None
    if state is not None:
        yield state.flush()
        yield DamagedError("TruncatedFile: the gzip stream ends early")


def _next_member(stream: IO[bytes], start: int) -> int | None:
    """Where, from `start` on, the next gzip member begins that can be decompressed."""
    stream.seek(start)
    held, offset = b"", start
    while block := stream.read(BLOCK):
        held += block
        place = held.find(GZIP + b"\x08")
        # of a candidate at the end of the block too little would be known
        while place >= 0 and (place < len(held) - 512 or len(block) < BLOCK):
            try:
                if zlib.decompressobj(wbits=31).decompress(held[place : place + 4096], 64):
                    return offset + place
            except zlib.error:
                pass
            place = held.find(GZIP + b"\x08", place + 1)
        kept = min(len(held), 512)
        offset, held = offset + len(held) - kept, held[-kept:]
    return None


def _salvage(state: Any, data: memoryview) -> bytes:
    """The output before the damage: in ever smaller steps, since a failing call keeps what it had."""
    out = []
    start, step = 0, 1024
    while start < len(data) and step:
        before = state.copy()
        try:
            out.append(state.decompress(data[start : start + step]))
            start += step
        except zlib.error:
            state, step = before, step // 4
    return b"".join(out)


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


def _unbzip2(raw: Iterator[bytes]) -> Iterator[bytes]:
    """All streams of a bzip2 file (pbzip2 writes many). Zero bytes behind them are padding."""
    import bz2

    state: Any = None
    for block in raw:
        # a call that meets damage keeps what it had, so small steps bound the loss
        for start in range(0, len(block), STEP):
            data = block[start : start + STEP]
            while data:
                if state is None:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    state = bz2.BZ2Decompressor()
                try:
                    out = state.decompress(data, BLOCK)
                    while out or not (state.eof or state.needs_input):
                        yield out
                        out = b""
                        if not (state.eof or state.needs_input):
                            out = state.decompress(b"", BLOCK)
                except (OSError, EOFError) as error:
                    message = f"CorruptFile: the bzip2 stream is damaged ({error})"
                    raise DamagedError(message) from None
                if not state.eof:
                    break
                data, state = state.unused_data, None
    if state is not None:
        raise DamagedError("TruncatedFile: the bzip2 stream ends early")
