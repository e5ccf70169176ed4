"""What `html_blocks` knows of HTML: tags, the context that they give, and telling words in classes.

Tables for a kernel: tags as numbers, one bit for each kind of context (`BITS`), and the beginnings
of words in `class`, `id`, `role` and `itemprop` that people give to parts of a page.
"""

# ruff: noqa: SIM905 (lists of words)
from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

INLINE: Final = (
    "a abbr acronym audio b bdi bdo big blink canvas cite code data del dfn em embed font i "
    "img input ins kbd label mark math meter nobr object output param picture progress q rb "
    "rp rt rtc ruby s samp small source span strike strong sub sup time track tt u var video "
    "wbr br meta link script style title textarea iframe xmp noembed noframes base col area "
    "frame command keygen"
).split()
BLOCK: Final = (
    "html body head article section nav aside header footer main div p h1 h2 h3 h4 h5 h6 ul "
    "ol li dl dt dd table caption thead tbody tfoot tr td th colgroup pre blockquote figure "
    "figcaption form fieldset legend details summary dialog address center hr hgroup menu dir "
    "search button select option optgroup datalist noscript template svg listing frameset map "
    "marquee slot"
).split()
TAGS: Final = ("", *INLINE, *BLOCK)
"""Names by number; 0 is any other name, which is inline, or a block where it has a hyphen."""
TAG: Final = {name: number for number, name in enumerate(TAGS)}

VOID: Final = {
    "area",
    "base",
    "br",
    "col",
    "command",
    "embed",
    "frame",
    "hr",
    "img",
    "input",
    "keygen",
    "link",
    "meta",
    "param",
    "source",
    "track",
    "wbr",
}
RAW: Final = {"script", "style", "title", "textarea", "iframe", "xmp", "noembed", "noframes"}
SKIPPED: Final = {
    "svg",
    "math",
    "canvas",
    "object",
    "video",
    "audio",
    "map",
    "select",
    "template",
    "noscript",
    "frameset",
}
"""Elements whose content is passed over; unlike raw text they end at once where no end tag follows."""

HINTS: Final = {
    # the longer pattern of those that begin at a letter counts
    "story": "articlebody article-body article_body articletext article-text entry-content entry_content "
    "post-content post-body postbody post_content story-body storybody article-content articlecontent "
    "article__body article__content body-content content-body text-content mw-content documentation",
    "content": "content article post entry story text body main document inhalt artikel beitrag",
    "comment": "comment disqus reply replies respond kommentar discuss",
    "menu": "nav menu breadcrumb pager pagination tabs toolbar topbar toc skip sitemap sphinxsidebar",
    "share": "share sharing social facebook twitter follow",
    "related": "related recommend more popular trending most readnext teaser similar recirc weitere list "
    "latest headlines promo",
    "top": "header masthead hero topper",
    "bottom": "footer bottom copyright legal disclaimer colophon",
    "side": "sidebar side rail widget aside module column",
    "advert": "ad ads advert sponsor banner outbrain taboola dfp paid commercial anzeige werbung",
    "about": "author byline date time meta tag category credit source info bio published timestamp",
    "picture": "caption figure image photo gallery slide video media thumb player embed",
    "ask": "subscribe subscription signup newsletter login form search cookie consent modal popup overlay "
    "paywall register donate cta rating",
    "summary": "summary lead intro abstract excerpt standfirst dek subtitle subhead headline title",
}
CONTEXTS: Final = (
    "article main nav header footer aside form table list figure button blockquote code "
    "dropped hidden"
).split()
BITS: Final = {name: 1 << place for place, name in enumerate((*CONTEXTS, *HINTS))}

_CONTEXT_OF: Final = {
    **{name: name for name in ("article", "main", "nav", "header", "footer", "aside", "form")},
    **{"table": "table", "ul": "list", "ol": "list", "dl": "list", "menu": "list"},
    **{"figure": "figure", "figcaption": "figure", "button": "button", "label": "form"},
    **{"blockquote": "blockquote", "pre": "code", "listing": "code"},
    **dict.fromkeys(("head", "datalist"), "dropped"),
}
LEXICON: Final = {
    "notice": "copyright|©|all rights|terms of|privacy|impressum|disclaimer|license|licence|powered by|"
    "this article was|this story was|alle rechte|datenschutz|we use cookies|cookies",
    "action": "share|tweet|subscribe|sign up|sign in|log in|follow|join|download|print|email|e-mail|"
    "click|view|show|close|menu|skip|next|previous|prev|home|contact|search|save|get |buy|advertise|"
    "advertisement|sponsored|loading|newsletter|teilen|anmelden|drucken|suche|kontakt|mehr|weiter",
    "related": "related|read more|more |most |also |see also|read also|recommended|trending|popular|"
    "you may|you might|latest|top stories|in this|further reading|lesen sie|das könnte|ähnliche|tags|"
    "filed under|categories|topics|recent",
    "comment": "comment|leave a|reply|add a|no comments|post a|be the first|kommentar|discussion|report",
    "about": "by |posted|published|updated|last updated|written by|author|about the author|photo|image|"
    "credit|source|von |foto|quelle|bild|getty|reuters|file photo|originally|contributed|veröffentlicht",
}


def code(name: bytes) -> int:
    """A tag's or an attribute's name as a number below 2^62, distinct for the names used here."""
    value = 7
    for byte in name.lower():
        value = (value * 131 + byte) & ((1 << 62) - 1)
    return value


def tag_table() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(codes of the names, ascending; their numbers)."""
    pairs = sorted((code(name.encode()), number) for number, name in enumerate(TAGS) if name)
    table = np.array(pairs, dtype=np.int64)
    assert len(set(table[:, 0].tolist())) == len(table)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def kind_table() -> NDArray[np.int64]:
    """int64[n_tags, 4]: context bits, void, raw or skipped, inline; by a tag's number."""
    table = np.zeros((len(TAGS), 4), dtype=np.int64)
    for name, number in TAG.items():
        context = _CONTEXT_OF.get(name)
        table[number] = (
            BITS[context] if context else 0,
            name in VOID,
            1 if name in RAW else 2 if name in SKIPPED else 0,
            name in INLINE or not name,
        )
    return table


def phrases(groups: dict[str, list[str]], bits: dict[str, int]) -> tuple[NDArray[np.int64], ...]:
    """Beginnings of words as tables: first[257] by first byte -> range, offsets, bytes, bits.

    Longest first within a first byte, so that the first that matches is the longest.
    """
    found = sorted(
        ((word.encode(), bits[group]) for group, words in groups.items() for word in words),
        key=lambda pair: (pair[0][0], -len(pair[0]), pair[0]),
    )
    first = np.searchsorted([word[0] for word, _ in found], np.arange(257)).astype(np.int64)
    offsets = np.cumsum([0, *(len(word) for word, _ in found)]).astype(np.int64)
    content = np.frombuffer(b"".join(word for word, _ in found), dtype=np.uint8).astype(np.int64)
    return first, offsets, content, np.array([bit for _, bit in found], dtype=np.int64)


def hint_table() -> tuple[NDArray[np.int64], ...]:
    return phrases({group: words.split() for group, words in HINTS.items()}, BITS)


def lexicon_table() -> tuple[NDArray[np.int64], ...]:
    bits = {group: 1 << place for place, group in enumerate(LEXICON)}
    return phrases({group: words.split("|") for group, words in LEXICON.items()}, bits)
