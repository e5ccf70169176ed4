"""The emulator notices what is wrong: attention with one thing broken at a time gives no right result.

All mutants are in one build: each broken piece of the source stands beside the sound one, and the
environment's MUTANT picks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ultrakernels import sparse_attention_library as native

HERE = Path(__file__).parent
CLOSE = 0.01  # to outputs in bfloat16, of about 1

# name: (file, what it says, what says so unless this mutant is picked)
ANY = {
    "no first barrier": ("attend.cuh", "sync_block();\n        if (who", "if (SOUND) sync_block();\n        if (who"),
    "no last barrier": ("attend.cuh", "sync_block();\n        block = next", "if (SOUND) sync_block();\n        block = next"),
    "waits for too little": ("attend.cuh", "copy_wait<1>();", "SOUND ? copy_wait<1>() : copy_wait<2>();"),
    "another warp's queries": ("attend.cuh", "row = warp * 16 + r,", "row = (SOUND ? warp : 3 - warp) * 16 + r,"),
}  # fmt: skip
HOPPER = {
    "another swizzle": ("tiles.cuh", "row & 7", "row & (SOUND ? 7 : 3)"),
    "copies not shown": ("products.cuh", "{ show_copies(); }", "{ if (SOUND) show_copies(); }"),
    "no fence before keys": ("products.cuh", "products_begin();\n#pragma unroll\n        for (int k = 0; k < D", "if (SOUND) products_begin();\n#pragma unroll\n        for (int k = 0; k < D"),
    "no fence before values": ("products.cuh", "products_begin();\n#pragma unroll\n        for (int k = 0; k < 4", "if (SOUND) products_begin();\n#pragma unroll\n        for (int k = 0; k < 4"),
    "scores not waited for": ("products.cuh", "products_end(scores);", "if (SOUND) products_end(scores);"),
    "outs not waited for": ("products.cuh", "products_end(out);", "if (SOUND) products_end(out);"),
    "stride of 8 rows": ("products.cuh", "8 * 128 >> 4", "(SOUND ? 8 : 4) * 128 >> 4"),
    "leading offset": ("products.cuh", "kPanel * 2 >> 4", "kPanel * (SOUND ? 2 : 1) >> 4"),
    "panel of keys": ("products.cuh", "k / 4 * kPanel + k % 4 * 16", "(SOUND ? k / 4 * kPanel + k % 4 * 16 : k * 16)"),
    "rows of values": ("products.cuh", "values + k * 16 * 64", "values + k * (SOUND ? 16 : 8) * 64"),
    "adds to old scores": ("products.cuh", "k > 0", "k > 0 || !SOUND"),
    "keys turned": ("products.cuh", "T::template product<false>(", "(SOUND ? T::template product<false, 8> : T::template product<true, 8>)("),
    "values not turned": ("products.cuh", "T::template product<true>(", "(SOUND ? T::template product<true, D / 8> : T::template product<false, D / 8>)("),
}  # fmt: skip
MUTANTS = {**ANY, **HOPPER}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++ to build the emulator with")
    folder = tmp_path_factory.mktemp("mutants")
    shutil.copytree(native.SOURCES, folder, dirs_exist_ok=True)
    for number, (file, sound, broken) in enumerate(MUTANTS.values(), 1):
        text = (folder / file).read_text()
        assert text.count(sound) == 1, f"{file} no longer says {sound!r} once"
        picked = broken.replace("!SOUND", f"mutant == {number}").replace(
            "SOUND", f"mutant != {number}"
        )
        (folder / file).write_text(text.replace(sound, picked))
    chooser = folder / "mutant.h"
    chooser.write_text('#include <cstdlib>\nconst int mutant = std::atoi(std::getenv("MUTANT"));\n')
    command = [compiler, "-O1", "-std=c++17", "-ffp-contract=off", "-DULTRA_EMULATE"]
    command += [f"-I{folder}", "-include", str(chooser), str(HERE / "attention_alone.cpp")]
    subprocess.run([*command, "-o", str(folder / "attention")], check=True)
    return folder / "attention"


def run(program: Path, way: str, mutant: str | None) -> subprocess.CompletedProcess[str]:
    number = 0 if mutant is None else 1 + list(MUTANTS).index(mutant)
    return subprocess.run(
        [str(program), way],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"MUTANT": str(number)},
    )


@pytest.mark.parametrize("way", ["wgmma", "portable"])
def test_what_is_sound_is_right(program: Path, way: str) -> None:
    done = run(program, way, None)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < CLOSE


@pytest.mark.parametrize(
    ("way", "mutant"), [("wgmma", name) for name in MUTANTS] + [("portable", name) for name in ANY]
)
def test_what_is_broken_is_noticed(program: Path, way: str, mutant: str) -> None:
    done = run(program, way, mutant)
    if done.returncode:  # the emulator itself objects
        assert done.stderr.startswith("emulator: ")
    else:
        assert not float(done.stdout) < CLOSE
