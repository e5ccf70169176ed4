"""What the teacher has cost: tokens, money, requests and problems."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ultraclean.llm.protocol import Response


@dataclass
class Meter:
    """Counts of one open teacher. Threads may add at the same time."""

    input_price: float = 0.0
    output_price: float = 0.0
    requests: int = 0
    cached: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, response: Response) -> None:
        """Counts one response; what came from the cache costs nothing again."""
        with self._lock:
            self.requests += 1
            if response.problem and not response.samples:
                self.problems[response.problem] += 1
            for sample in response.samples:
                if sample.problem:
                    self.problems[sample.problem] += 1
            if response.cached:
                self.cached += 1
                return
            self.retries += response.attempts - 1
            self.prompt_tokens += response.usage.prompt_tokens
            self.completion_tokens += response.usage.completion_tokens

    @property
    def cost(self) -> float:
        """In the currency of the prices, which are per million tokens."""
        return self.cost_of(self.prompt_tokens, self.completion_tokens)

    def cost_of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of so many tokens."""
        paid = prompt_tokens * self.input_price + completion_tokens * self.output_price
        return paid / 1e6

    def card(self) -> dict[str, Any]:
        """The counts as JSON."""
        return {
            "requests": self.requests,
            "cached": self.cached,
            "retries": self.retries,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
            "problems": dict(sorted(self.problems.items())),
        }


def spent(folder: str) -> dict[str, dict[str, int]]:
    """What a run has paid, by model, read from its kept responses: all workers, all attempts."""
    from ultraclean.llm.cache import stored

    totals: dict[str, Counter[str]] = {}
    for line in stored(folder):
        total = totals.setdefault(line["model"], Counter())
        total["responses"] += 1
        total["prompt_tokens"] += line["usage"]["prompt_tokens"]
        total["completion_tokens"] += line["usage"]["completion_tokens"]
    return {model: dict(total) for model, total in totals.items()}
