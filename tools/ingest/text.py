"""Strangers' text at the door: HTML made plain, control characters gone, length bounded."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# NUL and other controls (line breaks stay), marks that reverse the reading direction, halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_BLOCKS = frozenset(
    ("p", "br", "li", "ul", "ol", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "tr", "table", "blockquote")
)
_HIDDEN = frozenset(("script", "style"))


class _Plain(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in _HIDDEN))
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def clean_line(text: str, limit: int) -> str:
    """Make one safe line of at most ``limit`` characters."""
    return " ".join(_UNSAFE.sub(" ", text[: 4 * limit]).split())[:limit].rstrip()


def plain_text(html: str, limit: int) -> str:
    """Make plain text, one line a paragraph, of at most ``limit`` characters; not more than 20 times that is parsed."""
    parser = _Plain()
    parser.feed(html[: 20 * limit])
    parser.close()
    lines = (" ".join(_UNSAFE.sub(" ", line).split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)[:limit].rstrip()
