"""What the tests of teachers share: a server that is as bad as a test wants it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKE = Path(__file__).parent / "fake_server.py"


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module `fake_server`: `completion`, `choices`, `echo`."""
    spec = importlib.util.spec_from_file_location("fake_server", FAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_server"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def serve(fake: ModuleType) -> Iterator[Callable[..., Any]]:
    """`serve(behave)` starts a server that ends with the test."""
    servers: list[Any] = []

    def start(*arguments: Any, **named: Any) -> Any:
        servers.append(fake.FakeServer(*arguments, **named))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
