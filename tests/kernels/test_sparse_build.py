"""The sparse attention library under compilers: sanitizers, the emulator's own eyes, and nvcc."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ultrakernels import sparse_attention_library as native

HERE = Path(__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def need(tool: str) -> str:
    found = native.find_nvcc() if tool == "nvcc" else shutil.which(tool)
    if found is None:
        pytest.skip(f"there is no {tool} on this machine")
    return found


def find_cuobjdump() -> str | None:
    """The toolkit's, or the one that triton brings."""
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        return shutil.which("cuobjdump")
    return str(Path(triton.origin).parent / "backends/nvidia/bin/cuobjdump")


@pytest.mark.slow
def test_sanitizers_find_nothing_in_the_kernels(tmp_path: Path) -> None:
    compiler = need("g++")
    flags = (*native.EMULATOR_FLAGS, "-O1", "-g", "-DULTRA_ONE", *SANITIZERS)
    library = native.build(compiler, flags, tmp_path)
    # The sanitizers come before everything else, so that they see what torch allocates.
    runtimes = [
        subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(HERE / "sparse_under_sanitizers.py"), str(library)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": str(native.SOURCES.parent.parent),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 12


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small kernels with one fault each, built plainly and under the address sanitizer."""
    compiler, folder = need("g++"), tmp_path_factory.mktemp("faults")
    built = {}
    for name, flags in (("plain", ()), ("watched", SANITIZERS)):
        built[name] = folder / name
        command = [compiler, "-O1", "-std=c++17", "-DULTRA_EMULATE", f"-I{native.SOURCES}", *flags]
        command += [str(HERE / "emulator_faults.cpp"), "-o", str(built[name])]
        subprocess.run(command, check=True)
    return built


def run(program: Path, kernel: str, seed: int = 3) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), kernel, str(seed)], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("build", ["plain", "watched"])
def test_the_emulator_runs_a_sound_kernel(faults: dict[str, Path], build: str) -> None:
    done = run(faults[build], "sound")
    assert done.returncode == 0, done.stderr
    expected = [(63 - t) * 4 + (t ^ 1) % 32 + t // 32 * 32 for t in range(64)]
    assert [float(x) for x in done.stdout.split()] == expected


@pytest.mark.parametrize("build", ["plain", "watched"])
def test_the_emulator_multiplies_as_four_warps(faults: dict[str, Path], build: str) -> None:
    """Thread t holds columns 8n + 2 (t % 4) and the next of row t / 4, and printed n = t / 4."""
    for seed in (0, 1, 2, 3):
        done = run(faults[build], "product", seed)
        assert done.returncode == 0, done.stderr
        columns = [t // 4 * 8 + t % 4 * 2 + i for t in range(32) for i in range(2)]
        assert [float(x) for x in done.stdout.split()] == [16 * c for c in columns]


def test_the_emulator_shows_what_a_gpu_might_hide(faults: dict[str, Path]) -> None:
    # Some orders of threads show it, some copies come late.
    for kernel in ("no_wait", "no_barrier"):
        shown = ["nan" in run(faults["plain"], kernel, seed).stdout for seed in range(1, 9)]
        assert any(shown)
    for kernel in ("not_shown", "early"):  # by fence.proxy.async; before the sums were waited for
        assert set(run(faults["plain"], kernel).stdout.split()) <= {"nan", "-nan"}
    for kernel, message in (
        ("unturned", "not of the 128-byte swizzle"),
        ("at_odds", "threads of a warpgroup differ about a product"),
        ("apart", "meet different instructions"),
        ("left_alone", "wait for others that have left"),
        ("crooked", "not aligned to 16 bytes"),
    ):
        done = run(faults["plain"], kernel)
        assert done.returncode != 0 and message in done.stderr
    done = run(faults["watched"], "beyond")
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def test_the_emulated_mirror_of_the_problem_is_the_c_one(tmp_path: Path) -> None:
    """Names and order of csrc/problem.h are those of the ctypes structure."""
    header = (native.SOURCES / "problem.h").read_text()
    body = re.sub(r"//.*", "", header[header.index("struct Problem {") :])
    fields = re.findall(r"(\w+)\s*(?=[,;])", body[: body.index("};")])
    assert fields == [name for name, _ in native.Problem._fields_]


@pytest.mark.slow
def test_nvcc_builds_one_library_without_spills(tmp_path: Path) -> None:
    """One command for sm_80 and sm_90a. What attends keeps its rows in registers."""
    compiler = need("nvcc")
    library = tmp_path / "kernels.so"
    command = [compiler, *native.NVCC_FLAGS, "-Xptxas", "-v", "-o", str(library)]
    done = subprocess.run(
        [*command, str(native.SOURCES / native.MAIN)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.findall(
        r"entry function '(\w+)' for '(sm_\w+)'\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill",
        done.stderr,
    )
    kernels = ("append", "select", "attend", "decode_total", "decode_choose", "decode_attend")
    for target in ("sm_80", "sm_90a"):
        names = " ".join(name for name, where, _, _ in found if where == target)
        assert all(f"{kernel}_kernel" in names for kernel in kernels)
    spilling = {name for name, _, _, spill in found if int(spill)}
    assert not spilling
    assert "serialized" not in done.stderr  # ptxas says so of wgmma that it makes wait one by one
    # Of MiniCPM4-8B two blocks of 128 threads fit a multiprocessor: by registers and by shared memory.
    (registers,) = re.findall(
        r"attend_kernelI5BrainLi128ELi4E17WarpgroupProducts\w+' for 'sm_90a'\n.*\n.*\n.*Used (\d+) reg",
        done.stderr,
    )
    assert 2 * 128 * int(registers) <= 65536
    # It loads where there is no GPU, and says so when asked to run.
    loaded = native.Library(library)
    loaded.run("append", native.Problem(kind=1, size=64, heads=1, kv_heads=1, list_len=1))
    if not Path("/dev/nvidia0").exists():
        few = native.Problem(kind=1, size=64, heads=1, kv_heads=1, list_len=1, longest_q=1)
        few.sequences = 1
        for name in ("append", "attend"):
            with pytest.raises(RuntimeError, match=rf"'{name}' did not start: .*driver"):
                loaded.run(name, few)
    disassembler = find_cuobjdump()
    if disassembler is not None:
        command = [disassembler, "-sass", "-arch", "sm_90a", str(library)]
        sass = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found_in = {
            (kind, size): text
            for kind, size, text in re.findall(
                r"Function : \S*attend_kernelI4?5?(\w+?)Li(\d+)ELi4E17Warpgroup\S*(.*?)(?=Function :|\Z)",
                sass,
                re.DOTALL,
            )
        }
        assert set(found_in) == {
            (kind, size) for kind in ("Half", "Brain") for size in ("64", "128")
        }
        for (kind, size), text in found_in.items():
            suffix = ".BF16" if kind == "Brain" else " "
            scores, outs = (text.count(f"HGMMA.64x{n}x16.F32{suffix}") for n in (64, 128))
            assert (scores, outs) == ((8, 4) if size == "128" else (8, 0))
            assert not re.search(r"\b(HMMA|LDL|STL)\b", text)


@pytest.mark.slow
def test_the_bench_runs_every_row_and_says_that_nothing_was_timed(tmp_path: Path) -> None:
    need("g++")
    bench = native.SOURCES.parent.parent / "bench" / "sparse_attention.py"
    done = subprocess.run(
        [sys.executable, str(bench), "--emulate"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"ULTRAKERNELS_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    *rows, last = done.stdout.splitlines()
    assert last == "every row ran on an emulated GPU; nothing was timed"
    ran = {row[:34].strip() for row in rows if row.endswith(" ran")}
    assert ran == {
        "compress", "select", "attend", "attend, without wgmma", "all three",
        "dense, torch SDPA flash", "flex_attention, the same mask",
        "append, choose and attend", "dense, torch SDPA",
    }  # fmt: skip
    # what a machine without a GPU lacks says so in its row
    assert {row[:34].strip() for row in rows if "not measured: " in row} == {"Triton", "dense, torch SDPA cuDNN"}  # fmt: skip
