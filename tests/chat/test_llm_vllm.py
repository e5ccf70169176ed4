"""Servers that are started, watched, restarted and ended; a stand-in takes vLLM's place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ultraclean.llm import OpenTeacher, Request, Teacher, TeacherError, responses_in
from ultraclean.llm.vllm import Vllm, arguments

FAKE = Path(__file__).parent / "fake_server.py"


def start(marks: Path, **more: object) -> Vllm:
    settings = {"env": {"MARKS": str(marks)}, "patience_s": 20.0, "timeout_s": 20.0, **more}
    return Vllm("tiny", command=(sys.executable, str(FAKE)), **settings)  # type: ignore[arg-type]


def until(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_replicas_share_the_requests_and_end_with_the_teacher(tmp_path: Path) -> None:
    with OpenTeacher(engine := start(tmp_path, replicas=2), "tiny") as teacher:
        responses = teacher.generate([Request.of(str(number)) for number in range(40)])
        assert [r.text for r in responses] == [f"echo: {number}" for number in range(40)]
        pids = [server.pid for server in engine.servers]
        assert len({*pids}) == 2 and all(pid and alive(pid) for pid in pids)
    assert until(lambda: not any(pid and alive(pid) for pid in pids))


def test_a_server_that_dies_is_restarted_and_its_requests_replayed(tmp_path: Path) -> None:
    with OpenTeacher(engine := start(tmp_path), "tiny") as teacher:
        asked = [Request.of(said) for said in ("a", "b", "die", "c", "d")]
        responses = teacher.generate(asked)
        assert [r.text for r in responses] == [f"echo: {s}" for s in ("a", "b", "die", "c", "d")]
        assert engine.servers[0].restarts == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_restart_may_take_longer_than_the_patience_with_a_silent_server(tmp_path: Path) -> None:
    slow = {"MARKS": str(tmp_path), "SLOW_RESTART": "2"}
    with OpenTeacher(start(tmp_path, env=slow, patience_s=0.5), "tiny") as teacher:
        responses = teacher.generate([Request.of(said) for said in ("a", "die", "b")])
        assert [r.text for r in responses] == ["echo: a", "echo: die", "echo: b"]


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    engine = start(tmp_path, options={"fail": True})
    with OpenTeacher(engine, "tiny") as teacher, pytest.raises(TeacherError, match="no such file"):
        teacher.generate([Request.of("hello")])


def test_a_server_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    with OpenTeacher(engine := start(tmp_path, max_restarts=0), "tiny") as teacher:
        teacher.generate([Request.of("hello")])
        pid = engine.servers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TeacherError, match="ended with status -9"):
            teacher.generate([Request.of("again")])


def test_a_server_does_not_outlive_a_killed_worker(tmp_path: Path) -> None:
    script = f"""
import sys, time
from ultraclean.llm import OpenTeacher, Request
from ultraclean.llm.vllm import Vllm
engine = Vllm("tiny", command=({sys.executable!r}, {str(FAKE)!r}), env={{"MARKS": {str(tmp_path)!r}}})
OpenTeacher(engine, "tiny").generate([Request.of("hello")])
print(engine.servers[0].pid, flush=True)
time.sleep(60)
"""
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    assert alive(pid)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert until(lambda: not alive(pid))


ASKING = """
import sys
from ultraclean.llm import OpenTeacher, Request
from ultraclean.llm.vllm import Vllm
engine = Vllm("tiny", command=sys.argv[1:3], env={"MARKS": sys.argv[3]}, replicas=2)
with OpenTeacher(engine, "tiny") as teacher:
    (reply,) = teacher.generate([Request.of(sys.argv[4])])
    print(reply.text, *sorted(server.pid for server in engine.servers), flush=True)
    sys.stdin.readline()
"""


def test_workers_of_a_node_share_its_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASKING, sys.executable, str(FAKE), str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([*command, str(n)], **pipes) for n in range(3)]  # type: ignore[call-overload]
    said = [worker.stdout.readline().split() for worker in workers]
    assert [words[:2] for words in said] == [["echo:", str(n)] for n in range(3)]
    assert len({tuple(words[2:]) for words in said}) == 1, "all were told of the same two"
    assert len(list(tmp_path.iterdir())) == 2, "and no other was started"
    pids = [int(pid) for pid in said[0][2:]]
    workers[0].kill()
    workers[1].communicate("\n")
    workers[0].communicate()
    assert all(alive(pid) for pid in pids), "the last worker still has them"
    workers[2].communicate("\n")
    assert until(lambda: not any(alive(pid) for pid in pids))


def test_servers_wait_for_the_next_table(tmp_path: Path) -> None:
    pids = []
    for number in range(2):
        with OpenTeacher(engine := start(tmp_path, linger_s=3.0), "tiny") as teacher:
            assert teacher.generate([Request.of(str(number))])[0].text == f"echo: {number}"
            pids.append(engine.servers[0].pid)
        time.sleep(0.5)
    assert pids[0] == pids[1] and alive(pids[0])
    assert until(lambda: not alive(pids[0]), 20)


def test_a_killed_keeper_takes_its_servers_along_and_another_one_comes(tmp_path: Path) -> None:
    with OpenTeacher(engine := start(tmp_path), "tiny") as teacher:
        teacher.generate([Request.of("a")])
        first = engine.servers[0].pid
        assert first is not None
        keeper = int(Path(f"/proc/{first}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(keeper, signal.SIGKILL)
        replies = teacher.generate([Request.of(str(number)) for number in range(20)])
        assert [r.text for r in replies] == [f"echo: {number}" for number in range(20)]
        assert engine.servers[0].pid != first and until(lambda: not alive(first))


def test_nothing_is_started_for_answers_that_are_kept(tmp_path: Path) -> None:
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    marks.mkdir()
    for _ in range(2):
        with OpenTeacher(start(marks), "tiny") as teacher, responses_in(str(kept)):
            assert teacher.generate([Request.of("a")])[0].text == "echo: a"
    assert len(list(marks.iterdir())) == 1


def test_options_become_the_command_line() -> None:
    options = {
        "max_model_len": 4096,
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "structured_outputs_config": {"backend": "xgrammar"},
        "seed": None,
    }
    assert arguments(options) == [
        "--max-model-len",
        "4096",
        "--enforce-eager",
        "--structured-outputs-config",
        '{"backend":"xgrammar"}',
    ]


def test_what_a_worker_needs() -> None:
    assert Teacher(model="m").resources.gpus == 0
    assert Teacher(model="m", engine="vllm", tensor_parallel=4, replicas=2).resources.gpus == 8
    assert Teacher(model="m", engine="vllm", gpus=0).resources.gpus == 0
    assert Teacher(model="m").resources.model
