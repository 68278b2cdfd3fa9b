"""Strangers' text at the door: HTML made plain, control characters gone, length bounded."""

from __future__ import annotations

import re

from lxml.etree import HTMLParser

# NUL and other controls (line breaks stay), marks that reverse the reading direction, halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_BLOCKS = frozenset(
    ("p", "br", "li", "ul", "ol", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "tr", "table", "blockquote")
)
_NOTHING = re.compile(
    r"[\W_]*|none|null|nil|nan|n/?a|undefined|(?:no|not|without)(?: any)?(?: (?:trigger|activation|special))?"
    r"(?: (?:words?|tags?|triggers?|needed|required|necessary))*|no description|untitled",
    re.IGNORECASE,
)
_HIDDEN = frozenset(("script", "style"))


class _Plain:
    """Collects what a reader would see, while lxml parses."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.hidden = 0

    def start(self, tag: str, attributes: object) -> None:
        """Open an element; a block begins a line."""
        self.hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def end(self, tag: str) -> None:
        """Close an element; a block ends a line."""
        self.hidden -= tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def data(self, text: str) -> None:
        """Take text."""
        if not self.hidden:
            self.parts.append(text)

    def close(self) -> str:
        """Give what was collected."""
        return "".join(self.parts)


def clean_line(text: str, limit: int) -> str:
    """Make one safe line of at most ``limit`` characters."""
    return " ".join(_UNSAFE.sub(" ", text[: 4 * limit]).split())[:limit].rstrip()


def plain_text(html: str, limit: int) -> str:
    """Make plain text, one line a paragraph, of at most ``limit`` characters; not more than 20 times that is parsed.

    What stands for nothing ("None") is nothing. The time is linear in what is parsed; text inside more than 256 nested
    elements is lost, because lxml stops there.
    """
    text = _UNSAFE.sub(" ", html[: 20 * limit])
    if "<" in text or "&" in text:
        parser = HTMLParser(target=_Plain())
        parser.feed("<body>" + text)
        text = _UNSAFE.sub(" ", parser.close())  # entities may have named such characters again
    lines = (" ".join(line.split()) for line in text.split("\n"))
    plain = "\n".join(line for line in lines if line)[:limit].rstrip()
    return "" if says_nothing(plain) else plain


def says_nothing(text: str) -> bool:
    """Tell whether a text stands for its own absence, as "None", "N/A" and "no trigger words" do."""
    return len(text) < 60 and _NOTHING.fullmatch(text.strip(" .!()[]\"'")) is not None
