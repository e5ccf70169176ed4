"""The prompts of UltraChat: Markdown files, one per prompt and language."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ultraclean.llm.prompt import Prompt, load

FOLDER: Final = str(Path(__file__).parent)


def prompt(name: str, language: str) -> Prompt:
    """A prompt that the package ships."""
    return load(FOLDER, name, language)


def names() -> list[str]:
    """All prompts, each of which is there in every language."""
    return sorted({file.name.split(".")[0] for file in Path(__file__).parent.glob("*.md")})
