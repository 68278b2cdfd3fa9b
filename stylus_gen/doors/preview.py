"""A preview of pictures, small enough for a chat: one WebP of at most 700 kB."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

SIDE = 768  # pixels of the longer side of the whole preview
MOST = 700_000
"""Bytes after base64. Hosts cut results at about one megabyte."""


def preview(paths: Sequence[Path]) -> tuple[str, str]:
    """Join pictures side by side, in rows of four, and return them as base64 and MIME type."""
    pictures: list[Image.Image] = []
    for path in paths:
        with Image.open(path) as file:
            pictures.append(file.convert("RGB"))
    width, height = pictures[0].size
    columns = min(4, len(pictures))
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    for quality in (90, 70, 50, 30):
        small = sheet.copy()
        small.thumbnail((SIDE, SIDE))
        webp = io.BytesIO()
        small.save(webp, "WEBP", quality=quality)
        if webp.tell() * 4 / 3 <= MOST:
            break
    return base64.b64encode(webp.getvalue()).decode(), "image/webp"
