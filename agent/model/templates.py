"""Prompt templates: Markdown files with a version in their first line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_VERSION = re.compile(r"<!-- version: (\S+) -->\n")


@dataclass(frozen=True)
class Template:
    """A template's name, version and text."""

    name: str
    version: str
    text: str


@cache
def read_template(name: str) -> Template:
    """Read ``prompts/<name>.md``."""
    text = files("stylus_gen.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")
    head = _VERSION.match(text)
    if head is None:
        raise ValueError(f"prompts/{name}.md must begin with '<!-- version: N -->'")
    return Template(name, head[1], text[head.end() :].strip())


def prompt_version() -> str:
    """Name the versions of the templates that a chat model gets: ``segment 1, prune 2``."""
    return ", ".join(f"{t.name} {t.version}" for t in map(read_template, ("segment", "prune")))
