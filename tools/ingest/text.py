"""Clean untrusted text: HTML becomes plain text, control characters are removed, length is limited."""

from __future__ import annotations

import re

from lxml.etree import HTMLParser

# NUL and other controls except line breaks, marks that change the text direction, lone surrogates.
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
    """A target for lxml's parser that collects the visible text."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.hidden = 0

    def start(self, tag: str, attributes: object) -> None:
        """Open an element; a block element starts a line."""
        self.hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def end(self, tag: str) -> None:
        """Close an element; a block element ends a line."""
        self.hidden -= tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def data(self, text: str) -> None:
        """Take text."""
        if not self.hidden:
            self.parts.append(text)

    def close(self) -> str:
        """Return the text."""
        return "".join(self.parts)


def clean_line(text: str, limit: int) -> str:
    """Make one safe line of at most ``limit`` characters."""
    return " ".join(_UNSAFE.sub(" ", text[: 4 * limit]).split())[:limit].rstrip()


def plain_text(html: str, limit: int) -> str:
    """Convert HTML to plain text, one line per paragraph, of at most ``limit`` characters.

    At most 20 times ``limit`` characters are parsed, in linear time. Placeholders ("None") become empty. Text inside
    more than 256 nested elements is lost, because lxml stops there.
    """
    text = _UNSAFE.sub(" ", html[: 20 * limit])
    if "<" in text or "&" in text:
        parser = HTMLParser(target=_Plain())
        parser.feed("<body>" + text)
        text = _UNSAFE.sub(" ", parser.close())  # entities may encode such characters
    lines = (" ".join(line.split()) for line in text.split("\n"))
    plain = "\n".join(line for line in lines if line)[:limit].rstrip()
    return "" if says_nothing(plain) else plain


def says_nothing(text: str) -> bool:
    """Say whether a text is empty or a placeholder such as "None", "N/A" and "no trigger words"."""
    return len(text) < 60 and _NOTHING.fullmatch(text.strip(" .!()[]\"'")) is not None
