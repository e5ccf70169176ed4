"""HTTP/1.1 to one server over connections that stay open: as much of it as chat completions need.

General clients spend most of a millisecond of Python per request, which caps a worker at about a
thousand requests a second; this one leaves room for several thousand. No redirects, no proxies, no
compression: the server named is the server asked.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import Final, cast

MAX_HEAD: Final = 2**16
MAX_BODY: Final = 2**28


class HttpError(ConnectionError):
    """The connection broke, or what came was no HTTP. `sent`: a server was reached and may have worked."""

    def __init__(self, message: str, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    """One request at a time; `reply` is its future."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reply: asyncio.Future[Reply] | None = None
        self.buffer = bytearray()
        self.open = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.chunks: list[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.open = True

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self.reply is None or self.reply.done():
            return
        if error is None and self.status and self.length is None and self.chunks is None:
            self._finish(bytes(self.buffer))  # a body without a length ends with the connection
        else:
            self.reply.set_exception(HttpError(str(error or "the server hung up"), self._heard()))

    def _heard(self) -> bool:
        return bool(self.status or self.buffer)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.reply is None or self.reply.done():
            self.close()
            return
        try:
            self._parse()
        except (ValueError, IndexError) as error:
            self.reply.set_exception(HttpError(f"no HTTP reply: {error}", sent=True))
            self.close()

    def _parse(self) -> None:
        while not self.status and not self._parse_head():
            if b"\r\n\r\n" not in self.buffer:
                return
        if self.chunks is not None:
            self._parse_chunks(self.chunks)
        elif self.length is not None and len(self.buffer) >= self.length:
            body = bytes(self.buffer[: self.length])
            del self.buffer[: self.length]
            self._finish(body)
        elif len(self.buffer) > MAX_BODY:
            raise ValueError("the reply is too large")

    def _parse_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > MAX_HEAD:
                raise ValueError("the head of the reply is too large")
            return False
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        if not first.startswith("HTTP/1."):
            raise ValueError(f"it begins with {first[:40]!r}")
        status = int(first.split(" ", 2)[1])
        if status < 200:
            return False  # 100 Continue: the reply is still to come
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            self.chunks = []
        elif "content-length" in self.headers:
            self.length = int(self.headers["content-length"])
        elif status in (204, 304):
            self.length = 0
        self.status = status
        return True

    def _parse_chunks(self, chunks: list[bytes]) -> None:
        while (end := self.buffer.find(b"\r\n")) >= 0:
            size = int(bytes(self.buffer[:end]).split(b";")[0], 16)
            if size == 0:
                stop = self.buffer.find(b"\r\n\r\n", max(end - 2, 0))
                if stop < 0:
                    return
                del self.buffer[: stop + 4]
                self._finish(b"".join(chunks))
                return
            if len(self.buffer) < end + 2 + size + 2:
                return
            chunks.append(bytes(self.buffer[end + 2 : end + 2 + size]))
            del self.buffer[: end + 2 + size + 2]

    def _finish(self, body: bytes) -> None:
        assert self.reply is not None
        reply = Reply(self.status, self.headers, body)
        if self.headers.get("connection", "").lower() == "close":
            self.close()
        self._begin()
        self.reply.set_result(reply)

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.abort()


class Http:
    """Requests to one server. All calls must come from one event loop."""

    def __init__(self, base_url: str, connect_s: float = 10.0) -> None:
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is no http or https address")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._base = parts.path.rstrip("/")
        self._host_header = parts.netloc.rsplit("@", 1)[-1]
        self._connect_s = connect_s
        self._idle: list[_Connection] = []

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> Reply:
        """The reply, whatever its status; HttpError or TimeoutError if there is none."""
        lines = [f"{method} {self._base}{path} HTTP/1.1", f"Host: {self._host_header}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        raw = "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body
        while self._idle:
            connection = self._idle.pop()
            if not connection.open:
                continue
            try:
                return await self._exchange(connection, raw, timeout_s)
            except HttpError as error:
                if error.sent:
                    raise
                # The server closed an idle connection just as we used it: a new one will do.
        connection = await self._connect()
        try:
            return await self._exchange(connection, raw, timeout_s)
        except HttpError as error:
            raise HttpError(str(error), sent=True) from error

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await asyncio.wait_for(
                loop.create_connection(_Connection, self._host, self._port, ssl=self._tls),
                self._connect_s,
            )
        except (OSError, TimeoutError) as error:
            message = f"no connection to {self._host}:{self._port}: {error or 'timed out'}"
            raise HttpError(message) from error
        return connection

    async def _exchange(self, connection: _Connection, raw: bytes, timeout_s: float) -> Reply:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        connection.reply = reply
        assert connection.transport is not None
        connection.transport.write(raw)
        timer = loop.call_later(timeout_s, _expire, reply)
        try:
            answer = await reply
        except BaseException:
            connection.close()
            raise
        finally:
            timer.cancel()
            connection.reply = None
        if connection.open:
            self._idle.append(connection)
        return answer

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)


def _expire(reply: asyncio.Future[Reply]) -> None:
    if not reply.done():
        reply.set_exception(TimeoutError("no reply in time"))
