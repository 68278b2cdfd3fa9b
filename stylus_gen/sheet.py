"""A contact sheet: rows of pictures under column heads, each row with its prompt above it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from stylus_gen.tools.file import make_folder, write_whole

CELL = 144  # pixels; small pictures are enlarged to it, large ones reduced
GAP = 12
LINE = 22


class SheetRow(NamedTuple):
    """One prompt: a title, a note, and a group of pictures for each column head."""

    title: str
    note: str
    groups: Sequence[Sequence[Path]]


def write_sheet(path: Path, heads: Sequence[str], rows: Sequence[SheetRow]) -> Path:
    """Write the sheet as a PNG. Every row has one group for each head."""
    widths = [max(len(row.groups[i]) for row in rows) * (CELL + GAP) for i in range(len(heads))]
    height = 2 * LINE + CELL + GAP
    sheet = Image.new("RGB", (GAP + sum(widths) + GAP * len(heads), LINE + GAP + len(rows) * height), "white")
    pen = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(15), ImageFont.load_default(12)
    lefts = [GAP + sum(widths[:i]) + GAP * i for i in range(len(heads))]
    for left, head in zip(lefts, heads, strict=True):
        pen.text((left, GAP // 2), head, "black", bold)
    for number, row in enumerate(rows):
        top = LINE + GAP + number * height
        pen.text((GAP, top), row.title, "black", bold)
        pen.text((GAP, top + LINE - 2), row.note, "dimgray", small)
        for left, pictures in zip(lefts, row.groups, strict=True):
            for column, picture in enumerate(pictures):
                with Image.open(picture) as image:
                    cell = image.convert("RGB").resize((CELL, CELL), Image.Resampling.BICUBIC)
                sheet.paste(cell, (left + column * (CELL + GAP), top + 2 * LINE))
    png = io.BytesIO()
    sheet.save(png, format="PNG")
    make_folder(path.parent)
    write_whole(path, png.getvalue())
    return path
