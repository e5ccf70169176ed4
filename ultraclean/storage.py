"""Files on any fsspec path: what is written appears whole or not at all.

On a local disk a file is written beside its place, fsynced and renamed. On an object store one
put, or a multipart upload that completes on close, to the final key has the same effect.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import re
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ultraclean.errors import DataError
from ultraclean.inputs import Input


def filesystem(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path, and the path without its protocol."""
    fs, bare = fsspec.core.url_to_fs(path)
    return fs, str(bare)


def is_local(path: str) -> bool:
    return "://" not in path or path.startswith(("file://", "local://"))


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def exists(path: str) -> bool:
    fs, bare = filesystem(path)
    return bool(fs.exists(bare))


def open_read(path: str) -> IO[bytes]:
    fs, bare = filesystem(path)
    stream: IO[bytes] = fs.open(bare, "rb")
    return stream


def read_bytes(path: str) -> bytes:
    fs, bare = filesystem(path)
    return bytes(fs.cat_file(bare))


def read_optional(path: str) -> bytes | None:
    """The content of a file, None if there is none."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[IO[bytes]]:
    """A stream whose content is at `path` if and only if the block ends without an error."""
    fs, bare = filesystem(path)
    if isinstance(fs, LocalFileSystem):
        folder = os.path.dirname(bare)
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f".{os.path.basename(bare)}.{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, bare)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)
        return
    upload = fs.open(bare, "wb")
    try:
        yield upload
    except BaseException:
        # `discard` aborts a multipart upload; a plain close would complete it.
        upload.discard()
        upload.closed = True
        raise
    upload.close()


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def local_folder(path: str, endings: tuple[str, ...]) -> Iterator[str]:
    """A folder on this disk: the path itself, or a copy of its files with these endings while used."""
    fs, bare = filesystem(path)
    if is_local(path):
        yield bare
        return
    with tempfile.TemporaryDirectory(prefix="ultraclean-") as copy:
        for name in names_in(path):
            if name.endswith(endings):
                fs.get_file(join(bare, name), os.path.join(copy, name))
        yield copy


def write_bytes(path: str, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)


def write_json(path: str, value: Any) -> None:
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def read_json(path: str) -> Any:
    return json.loads(read_bytes(path))


def create(path: str, content: bytes) -> bool:
    """Writes a file that must not exist; False if it does. One winner among racing processes."""
    fs, bare = filesystem(path)
    if isinstance(fs, LocalFileSystem):
        os.makedirs(os.path.dirname(bare), exist_ok=True)
        try:
            handle = os.open(bare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        return True
    try:
        fs.pipe_file(bare, content, mode="create")
    except FileExistsError:
        return False
    return True


def remove(path: str, *, recursive: bool = False) -> None:
    fs, bare = filesystem(path)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(bare, recursive=recursive)


def names_in(folder: str) -> list[str]:
    """Names of the files directly in a folder, sorted; an absent folder has none."""
    fs, bare = filesystem(folder)
    fs.invalidate_cache(bare)
    try:
        found = fs.ls(bare, detail=False)
    except FileNotFoundError:
        return []
    return sorted(posixpath.basename(str(name).rstrip("/")) for name in found)


_DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")


def expand(path: str) -> str:
    """`${NAME}`, `${NAME:-default}` and `~` replaced; a variable with neither is an error."""
    with_defaults = _DEFAULT.sub(lambda m: os.environ.get(m[1]) or m[2], path)
    expanded = os.path.expandvars(os.path.expanduser(with_defaults))
    if "${" in expanded:
        name = expanded.split("${", 1)[1].split("}", 1)[0]
        raise DataError(f"{path}: the environment variable {name} is not set")
    return expanded


def find(path: str) -> list[Input]:
    """The files that a path, folder or glob (with `**`) names, sorted by relative path.

    The root, to which `relative` relates, is the longest part of the path without a wildcard.
    """
    path = expand(path)
    fs, bare = filesystem(path)
    fs.invalidate_cache()
    if any(mark in bare for mark in "*?["):
        root = bare[: min(bare.index(mark) for mark in "*?[" if mark in bare)]
        root = root.rsplit("/", 1)[0]
        found = fs.glob(bare, detail=True)
    elif fs.isdir(bare):
        root = bare.rstrip("/")
        found = fs.find(root, detail=True)
    elif fs.exists(bare):
        root = posixpath.dirname(bare)
        found = {bare: fs.info(bare)}
    else:
        found = {}
        root = bare
    inputs = []
    for name, info in found.items():
        hidden = posixpath.basename(name).startswith((".", "_"))
        if info["type"] != "file" or hidden:
            continue
        relative = posixpath.relpath(name, root) if root else name.lstrip("/")
        inputs.append(
            Input(
                fs.unstrip_protocol(name) if not is_local(path) else name,
                relative,
                int(info["size"]),
                _stamp(info),
            )
        )
    return sorted(inputs, key=lambda found: found.relative)


def folders(pattern: str) -> dict[str, str]:
    """Path below the longest part without a wildcard -> path, of every folder that a glob names."""
    fs, bare = filesystem(expand(pattern))
    root = bare[: min(bare.index(mark) for mark in "*?[" if mark in bare)].rsplit("/", 1)[0]
    found = sorted(
        name for name, info in fs.glob(bare, detail=True).items() if info["type"] != "file"
    )
    whole = (lambda name: name) if is_local(pattern) else fs.unstrip_protocol
    return {posixpath.relpath(name, root): str(whole(name)) for name in found}


def lance_package() -> Any:
    """The package lance, without its warning of forks: our processes are forked to be replaced at once."""
    import warnings

    import lance

    warnings.filterwarnings("ignore", message="lance is not fork-safe")
    return lance


def object_store_options(path: str) -> dict[str, str]:
    """What a library with an S3 client of its own must be told, so that it finds what fsspec finds."""
    if not path.startswith(("s3://", "s3a://")):
        return {}
    told = fsspec.config.conf.get("s3", {})
    endpoint = (
        told.get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    found = {
        "aws_access_key_id": told.get("key"),
        "aws_secret_access_key": told.get("secret"),
        "aws_session_token": told.get("token"),
        "aws_endpoint": endpoint,
        "allow_http": "true" if str(endpoint).startswith("http://") else None,
    }
    return {name: value for name, value in found.items() if value}


def stamp(path: str) -> str:
    """A mark that changes when a file, or any file of a folder, does; `absent` if there is none."""
    fs, bare = filesystem(expand(path))
    if not fs.exists(bare):
        return "absent"
    if fs.isdir(bare):
        found = fs.find(bare, detail=True)
        return " ".join(
            f"{posixpath.basename(name)}:{_stamp(found[name])}" for name in sorted(found)
        )
    return _stamp(fs.info(bare))


def _stamp(info: dict[str, Any]) -> str:
    names = ("ETag", "etag", "blob_id", "LastModified", "mtime")
    tag = next((info[name] for name in names if info.get(name)), None)
    return f"{info['size']}-{str(tag).strip(chr(34))}"
