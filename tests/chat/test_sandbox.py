"""A test per promise of the sandbox, in each of the two ways in which it can be had."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ultrachat import sandbox
from ultrachat.sandbox import Limits, Ran, SandboxUnavailable, Way

Run = Callable[..., Ran]
MB = 2**20

no_sandbox = sandbox.available()
pytestmark = pytest.mark.skipif(no_sandbox is not None, reason=f"no sandbox: {no_sandbox}")


@pytest.fixture(params=["as root", "in a user namespace"])
def run(request: pytest.FixtureRequest) -> Run:
    """`run(code, given=..., stdin=..., **limits)`."""
    as_root = request.param == "as root"
    if as_root and os.geteuid() != 0:
        pytest.skip("not root")
    bwrap = sandbox.find_bubblewrap()
    assert bwrap is not None
    python, prefix = sandbox._interpreter()
    if os.geteuid() == 0 and not as_root and os.path.exists("/usr/bin/python3"):
        python, prefix = "/usr/bin/python3", "/usr"  # ours may be where only root may look
    way = Way(bwrap, as_root, python, prefix)
    command = [way.python, "-s", "-S", "-B", "-X", "utf8", "main.py"]
    if not sandbox._run(way, [*command[:-1], "-c", ""], "", {}, Limits()).ok:
        pytest.skip(f"a sandbox {request.param} is not allowed here")

    def start(
        code: str, stdin: str = "", given: dict[str, str] | None = None, **limits: float
    ) -> Ran:
        given = {**(given or {}), "main.py": code}
        return sandbox._run(way, command, stdin, given, Limits(**limits))  # type: ignore[arg-type]

    return start


def test_a_program_runs(run: Run) -> None:
    code = """
import sys, json, os, multiprocessing.synchronize, threading, tempfile, subprocess
print(sys.stdin.read().upper(), open("sub/data.txt").read(), "文")
print("to stderr", file=sys.stderr)
open("new", "w").write("x"); os.mkdir("folder")
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["/usr/bin/env", "echo", "child"], capture_output=True).stdout)
print(hash("a fixed seed"))
"""
    ran = run(code, stdin="input", given={"sub/data.txt": "数据 😀"})
    assert ran.stderr == "to stderr\n" and ran.ok and ran.returncode == 0
    assert ran.stdout.startswith("INPUT 数据 😀 文\nthread\nb'child\\n'\n")
    assert ran.stdout == run(code, stdin="input", given={"sub/data.txt": "数据 😀"}).stdout


def test_a_failure_is_an_error_with_its_status(run: Run) -> None:
    ran = run("raise SystemExit(3)")
    assert (ran.status, ran.returncode) == ("error", 3)
    assert "ZeroDivisionError" in run("1 / 0").stderr


def test_files_stay_below_the_folder() -> None:
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(ValueError, match="not a path below"):
            sandbox.run_python("", files={name: ""})


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import os, time; os.close(1); os.close(2); time.sleep(60)",
    ],
)
def test_time(run: Run, code: str) -> None:
    ran = run(code, time_s=0.5)
    assert ran.status == "time" and ran.seconds < 5


def test_a_fork_bomb(run: Run) -> None:
    code = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    before = n_processes()
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, n_processes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    ran = run(code, time_s=1.0, processes=8)
    done.set()
    watcher.join()
    assert ran.status in ("time", "processes") and most - before < 40
    assert eventually(lambda: not processes_with("main.py")), "nothing is left of it"


def test_threads_are_counted(run: Run) -> None:
    code = """
import threading, time
started = 0
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
        started += 1
except RuntimeError:
    print(started, flush=True)
import os; os._exit(0)
"""
    ran = run(code, processes=8)
    assert ran.stdout == "7\n" or ran.status == "processes"


def test_memory_of_one_process(run: Run) -> None:
    ran = run("x = bytearray(300 * 2**20)", memory_bytes=200 * MB)
    assert not ran.ok and "MemoryError" in ran.stderr


def test_memory_of_many_processes(run: Run) -> None:
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = [bytearray(os.urandom(2**20)) for _ in range(60)]
        time.sleep(60)
time.sleep(60)
"""
    ran = run(code, memory_bytes=150 * MB, time_s=20)
    assert ran.status == "memory" and ran.seconds < 15


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.memfd_create('x')",
        "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
        "if c.shmget(0, 1 << 20, 0o1777) < 0: raise OSError(ctypes.get_errno(), 'shmget')",
    ],
)
def test_no_memory_that_belongs_to_no_process(run: Run, code: str) -> None:
    assert "Operation not permitted" in run(code).stderr or "Errno 1" in run(code).stderr


def test_one_file(run: Run) -> None:
    ran = run("open('x', 'wb').write(bytes(3 * 2**20))", file_bytes=2 * MB)
    assert "File too large" in ran.stderr


def test_the_disk(run: Run) -> None:
    code = """
for number in range(100):
    open(f"x{number}", "wb").write(bytes(2**20))
"""
    assert "No space left" in run(code, disk_bytes=8 * MB).stderr
    assert "No space left" in run(code.replace('f"x', 'f"/dev/shm/x'), disk_bytes=8 * MB).stderr


def test_the_number_of_files(run: Run) -> None:
    code = """
import time
for number in range(3000):
    open(f"x{number}", "w").close()
time.sleep(10)
"""
    assert run(code, files=1000).status == "files"


def test_output(run: Run) -> None:
    ran = run("while True: print('x' * 1000)", output_bytes=100_000)
    assert ran.status == "output" and len(ran.stdout) <= 100_000 and ran.seconds < 5


# --- walls --------------------------------------------------------------------------------------


def test_no_network(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
for address in (("127.0.0.1", {port}), ("8.8.8.8", 53), ("1.1.1.1", 443)):
    try:
        socket.create_connection(address, timeout=2)
        print("connected", address)
    except OSError as error:
        print(type(error).__name__)
"""
        assert "connected" not in run(code).stdout
    with socket.socket(socket.AF_UNIX) as abstract:
        name = f"\0sandbox-test-{os.getpid()}"
        abstract.bind(name)
        abstract.listen()
        ran = run(f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})")
        assert "Connection refused" in ran.stderr


def test_no_home_and_no_files_of_the_machine(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    code = f"""
import os
for path in ({str(secret)!r}, "/etc/passwd", "/home", "/var", "/proc/1/root/etc/passwd", "/sys"):
    print(os.path.exists(path))
print(sorted(os.listdir("/tmp")))
print(os.path.expanduser("~"))
"""
    ran = run(code)
    assert ran.stdout.split("\n")[:6] == ["False"] * 6, ran.stdout
    assert ran.stdout.endswith("['main.py']\n/tmp\n")


def test_no_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    code = """
import glob, os
print(os.environ)
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
    try:
        print(open(path).read())
    except OSError:
        pass
"""
    ran = run(code)
    assert ran.ok and "hunter2" not in ran.stdout and str(Path(__file__).parent) not in ran.stdout


def test_the_system_is_read_only(run: Run) -> None:
    code = """
import os, sys
for path in ("/x", "/usr/x", "/bin/x", "/dev/x", sys.prefix + "/x", "/proc/sys/kernel/hostname"):
    try:
        open(path, "w").write("x")
        print("wrote", path)
    except OSError:
        pass
for path in ("/usr/bin/env", sys.executable):
    try:
        os.remove(path)
        print("removed", path)
    except OSError:
        pass
"""
    ran = run(code)
    assert ran.ok and ran.stdout == ""


def test_no_way_out_through_proc(run: Run) -> None:
    code = f"""
import os
print({os.getpid()} in map(int, filter(str.isdigit, os.listdir("/proc"))) and len(os.listdir("/proc")) > 200)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for what in ("root", "cwd"):
        try:
            print(sorted(os.listdir(f"/proc/{{pid}}/{{what}}/../../../..")))
        except OSError:
            pass
    try:
        open(f"/proc/{{pid}}/mem", "r+b").read(1)
    except OSError:
        pass
"""
    ran = run(code)
    assert ran.ok, ran.stderr
    seen = ran.stdout.split("\n")
    assert seen[0] == "False" and "home" not in ran.stdout and "etc" not in ran.stdout
    assert "No such file" in run(f"open('/proc/{os.getpid()}/status')").stderr or os.getpid() < 10


def test_no_signals_out(run: Run) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(number))
    try:
        code = f"""
import os, signal
for pid in (os.getppid(), {os.getpid()}, {os.getppid()}, 1, -1):
    try:
        os.kill(pid, signal.SIGUSR1 if pid != -1 else signal.SIGKILL)
    except OSError:
        pass
"""
        run(code)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught == []


def test_no_privileges(run: Run) -> None:
    code = """
import os, ctypes
print(os.getuid() != 0, [l for l in open("/proc/self/status") if l.startswith(("CapEff", "NoNewPrivs"))])
try:
    os.setuid(0); print("root")
except OSError:
    pass
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
import fcntl, termios
try:
    fcntl.ioctl(0, termios.TIOCSTI, b"x"); print("typed")
except OSError:
    pass
"""
    ran = run(code)
    assert ran.stdout.startswith("True ['CapEff:\\t0000000000000000\\n', 'NoNewPrivs:\\t1\\n']\n")
    assert ran.stdout.endswith("\n-1 -1\n")


def test_two_runs_do_not_see_each_other(run: Run) -> None:
    assert run("open('/tmp/left', 'w').write('x')").ok
    assert run("import os; print(os.listdir('/tmp'))").stdout == "['main.py']\n"


def test_nothing_outlives_a_run(run: Run) -> None:
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(61.5)
"""
    assert run(code).status == "ok"
    assert eventually(lambda: not processes_with("main.py"))


def test_a_killed_worker_takes_it_along(run: Run) -> None:
    script = "from ultrachat.sandbox import run_python; run_python('import time; time.sleep(50)', limits=None)"
    worker = subprocess.Popen([sys.executable, "-c", script])
    assert eventually(lambda: bool(processes_with("main.py")))
    worker.kill()
    worker.wait()
    assert eventually(lambda: not processes_with("main.py"))


# --- where there is none -------------------------------------------------------------------------


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    sandbox._way.cache_clear()
    try:
        monkeypatch.setattr(sandbox, "find_bubblewrap", lambda: None)
        with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
            sandbox.run_python(f"open({str(mark)!r}, 'w')")
        broken = tmp_path / "bwrap"
        broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
        broken.chmod(0o755)
        monkeypatch.setattr(sandbox, "find_bubblewrap", lambda: str(broken))
        with pytest.raises(SandboxUnavailable, match="uid map: Permission denied"):
            sandbox.run_python(f"open({str(mark)!r}, 'w')")
        assert "user namespaces may be off" in str(sandbox.available()).lower()
    finally:
        sandbox._way.cache_clear()
    assert not mark.exists()


def processes_with(argument: str) -> list[int]:
    """Live processes whose last argument is this."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:
                continue
            if line[-1] == argument.encode() and b"python" in line[0]:
                found.append(int(entry.name))
    return found


def n_processes() -> int:
    return sum(entry.name.isdigit() for entry in Path("/proc").iterdir())


def eventually(what: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return False
