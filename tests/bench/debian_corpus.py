"""Makes a web corpus of Debian's documentation: about 90,000 pages, 2.4 GB of HTML, as WARC files.

    python tests/bench/debian_corpus.py FOLDER      (on Debian, after `apt-get update`)

The packages are downloaded, not installed; each HTML page becomes one response record, so the
corpus has the natural near-duplicates of two kernel releases and two Boost releases.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = [
    "python3.11-doc",
    "linux-doc-6.1",
    "linux-doc-6.12",
    "debian-handbook",
    "libreoffice-help-en-us",
    "libreoffice-help-zh-cn",
    "libreoffice-help-de",
    "anarchism",
    "erlang-doc",
    "postgresql-doc-15",
    "libboost1.74-doc",
    "libboost1.81-doc",
    "cppreference-doc-en-html",
    "rust-web-doc",
    "scala-doc",
    "manpages-zh",
    "debian-reference-zh-cn",
    "python-pandas-doc",
    "ghc-doc",
]
FILE_BYTES = 200 * 2**20


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    n_pages = number = 0
    out: gzip.GzipFile | None = None
    raw: io.BufferedWriter | None = None
    written = FILE_BYTES
    for package in PACKAGES:
        for url, page in pages(download(package, folder)):
            if written >= FILE_BYTES:
                if raw is not None:
                    raw.close()
                raw = (folder / f"debian-{number:03d}.warc.gz").open("wb")
                number, written = number + 1, 0
            assert raw is not None
            # one gzip member per record, as crawls have it
            out = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0, filename="")
            out.write(record(url, page))
            out.close()
            written += len(page)
            n_pages += 1
        print(f"{package}: {n_pages} pages so far", flush=True)
    if raw is not None:
        raw.close()


def download(package: str, folder: Path) -> Path:
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        found = sorted(folder.glob(f"{package}_*.deb"))
    return found[0]


def pages(package: Path) -> Iterator[tuple[str, bytes]]:
    """(url, HTML) of every page of a package, also of those that are compressed in it."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as p,
        tarfile.open(fileobj=p.stdout, mode="r|") as tar,
    ):
        for member in tar:
            name = member.name.removesuffix(".gz")
            if not member.isfile() or not name.endswith((".html", ".htm", ".xhtml")):
                continue
            stream = tar.extractfile(member)
            assert stream is not None
            content = stream.read()
            if member.name.endswith(".gz"):
                content = gzip.decompress(content)
            yield f"https://debian.example{name.removeprefix('.')}", content


def record(url: str, page: bytes) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    identity = hashlib.sha256(url.encode()).hexdigest()[:32]
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Record-ID: <urn:uuid:{identity}>\r\nWARC-Target-URI: {url}\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http)}\r\n\r\n"
    )
    return header.encode() + http + b"\r\n\r\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
