"""Extractors by name: each opens into a function from a page to its text.

`blocks` is ours. `trafilatura` (Barbaresi 2021, ACL demo) runs in its fast mode; where that finds
little in its default mode; where that finds nothing Resiliparse does. `resiliparse` is its main
content (Bevendorff et al. 2018), `justext` is Pomikálek 2011 with the stop words of the language
that the page declares, or without any where it declares none or there is no list.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from ultraclean.text.formulas import with_formulas
from ultraclean.text.page_about import About, about
from ultraclean.text.page_characters import decode

Page = tuple[bytes | str, str | None, str | None]
"""The HTML; the charset and the language of the HTTP header."""
Extractor = Literal["blocks", "trafilatura", "resiliparse", "justext"]
Union = Literal["first", "longest", "lines"]

SAMPLE: Final = (
    "<html><head><title>Café</title></head><body><nav><a href='/'>Home</a></nav><article><h1>Café</h1>"
    "<p>Naïve façade of a page, with a sentence or two.</p><ul><li>One</li></ul></article></body></html>"
)
STOP_WORDS: Final = {
    **{"af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech"},
    **{"da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish"},
    **{"et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French"},
    **{"he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian"},
    **{"it": "Italian", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch"},
    **{"no": "Norwegian_Bokmal", "nb": "Norwegian_Bokmal", "pl": "Polish", "pt": "Portuguese"},
    **{"ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian"},
    **{"sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese"},
}


class Settings(NamedTuple):
    """How text is extracted; see the fields of `extract.html`."""

    extractors: tuple[Extractor, ...] = ("trafilatura",)
    union: Union = "first"
    markdown: bool = False
    links: bool = False
    formulas: bool = True
    about: bool = False
    enough_chars: int = 200


class Extracted(NamedTuple):
    """The text of a page, the extractor (or several, joined by `+`) that gave it, and more."""

    text: str
    extractor: str = ""
    about: About = About()


def open_extractors(settings: Settings) -> Callable[[Page], Extracted]:
    """A function from a page to what is extracted of it. Loads what it needs."""
    found = [(name, _OPEN[name](settings)) for name in settings.extractors]

    def extract(page: Page) -> Extracted:
        html = decode(page[0], page[1])
        facts = about(html, page[2]) if settings.about else About()
        if settings.formulas:
            html = with_formulas(html)
        if settings.union == "first":
            text, by = "", ""
            for name, function in found:
                one = clean(function(html))
                if len(one) > len(text):
                    text, by = one, name
                if len(text) >= settings.enough_chars:
                    break
            return Extracted(text, by, facts)
        texts = [(clean(function(html)), name) for name, function in found]
        if settings.union == "longest":
            text, by = max(texts, key=lambda pair: len(pair[0]))
            return Extracted(text, by if text else "", facts)
        return Extracted(*lines_of_all(texts, "\n\n" if settings.markdown else "\n"), facts)

    # what is loaded at first use is there before children are forked
    extract((SAMPLE.encode("cp1252"), None, None))
    return extract


def clean(text: str) -> str:
    """Without lone surrogates, which character references can make."""
    text = text.strip()
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def lines_of_all(texts: Sequence[tuple[str, str]], between: str) -> tuple[str, str]:
    """The lines of the first text, with those that only a later one has where they stand in it."""
    merged: list[str] = []
    known: set[str] = set()
    givers: list[str] = []
    for text, name in texts:
        lines = [line for line in text.split(between) if line.strip()]
        new = [line for line in lines if _letters(line) not in known]
        if not new:
            continue
        givers.append(name)
        place = {_letters(line): row for row, line in enumerate(merged)}
        out: list[str] = []
        done = 0
        for line in lines:
            key = _letters(line)
            if key in place:
                # up to the line that both have; a line out of order stays where it was
                if place[key] >= done:
                    out += merged[done : place[key] + 1]
                    done = place[key] + 1
            elif key not in known:
                out.append(line)
                known.add(key)
        merged = out + merged[done:]
        known |= {_letters(line) for line in lines}
    return between.join(merged), "+".join(givers)


def _letters(line: str) -> str:
    """What two extractors' versions of a line share."""
    return "".join(letter for letter in line if letter.isalnum()) or line.strip()


# --- one by one -------------------------------------------------------------------------------


def _blocks(settings: Settings) -> Callable[[str], str]:
    from ultraclean.text.blocks import main_text

    return functools.partial(main_text, markdown=settings.markdown, links=settings.links)


def _resiliparse(settings: Settings) -> Callable[[str], str]:
    from resiliparse.extract.html2text import extract_plain_text

    plain = functools.partial(extract_plain_text, main_content=True, alt_texts=False)
    if not settings.markdown:
        return lambda html: str(plain(html))
    from ultraclean.text.blocks import all_text

    return lambda html: all_text(
        str(plain(html, preserve_formatting="minimal_html", links=settings.links)),
        markdown=True,
        links=settings.links,
    )


def _trafilatura(settings: Settings) -> Callable[[str], str]:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    last = _resiliparse(settings)
    take = functools.partial(
        trafilatura.extract,
        include_comments=False,
        include_links=settings.links,
        output_format="markdown" if settings.markdown else "txt",
    )

    def extract(html: str) -> str:
        found = take(html, fast=True) or ""
        if len(found) < settings.enough_chars:
            found = max(found, take(html, fast=False) or "", key=len)
        return found or last(html)

    return extract


def _justext(settings: Settings) -> Callable[[str], str]:
    import justext
    from lxml.etree import ParserError

    @functools.cache
    def stop_words(name: str) -> frozenset[str]:
        return frozenset(justext.get_stoplist(name))

    def extract(html: str) -> str:
        language = (about(html).language or "").split("-")[0]
        words = stop_words(STOP_WORDS[language]) if language in STOP_WORDS else frozenset()
        low, high = (0.3, 0.32) if words else (0.0, 0.0)
        try:
            paragraphs = justext.justext(html, words, stopwords_low=low, stopwords_high=high)
        except (ParserError, ValueError):
            return ""  # a page without elements
        lines = [
            _marked(one.text, one.xpath) if settings.markdown else one.text
            for one in paragraphs
            if not one.is_boilerplate
        ]
        return ("\n\n" if settings.markdown else "\n").join(lines)

    return extract


def _marked(text: str, xpath: str) -> str:
    """A paragraph in Markdown, by the names of the elements that it is in."""
    names = [step.split("[")[0] for step in xpath.split("/")]
    level = next(
        (int(name[1]) for name in names if name in {"h1", "h2", "h3", "h4", "h5", "h6"}), 0
    )
    if level:
        return "#" * level + " " + text
    if "pre" in names:
        return f"```\n{text}\n```"
    return f"- {text}" if "li" in names else text


_OPEN: Final[dict[Extractor, Callable[[Settings], Callable[[str], str]]]] = {
    "blocks": _blocks,
    "trafilatura": _trafilatura,
    "resiliparse": _resiliparse,
    "justext": _justext,
}
