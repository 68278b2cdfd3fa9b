"""The output of `stylus eval world`: a JSON file, a contact sheet, and a table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylus_gen.eval.scores import NAMES
from stylus_gen.sheet import SheetRow, write_sheet
from stylus_gen.tools.file import make_folder, write_whole

if TYPE_CHECKING:
    from stylus_gen.eval.world_pictures import Drawing, PictureCache

SHOWN = 3  # prompts of each sort on the sheet


def write_results(
    report: dict[str, Any],
    arms: Mapping[str, Sequence[Drawing]],
    cache: PictureCache,
    out: Path,
) -> None:
    """Write ``world.json`` and ``world.png``."""
    make_folder(out)
    write_whole(out / "world.json", json.dumps(report, indent=1) + "\n")
    asked = [d.question for d in arms["base"]]
    shown = [i for sort in ("style", "unseen", "both", "plain") for i in _spread([q.sort == sort for q in asked])]
    rows = []
    for i in shown:
        groups = [cache.paths(drawings[i]) for drawings in arms.values()]
        chosen = ", ".join(stem for stem, _ in arms["planned"][i].weights) or "no adapter"
        rows.append(SheetRow(asked[i].prompt, f"planned: {chosen}", groups))
    write_sheet(out / "world.png", list(arms), rows)


def _spread(mask: Sequence[bool]) -> list[int]:
    where = [i for i, yes in enumerate(mask) if yes]
    return where[:: max(1, len(where) // SHOWN)][:SHOWN]


def table_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Format the arms as rows of text, "mean [low, high]" for every score."""
    rows = []
    for part in ("arms", "held_out", "unseen", "no_adapter_needed"):
        for arm, row in report[part].items():
            spans = report["intervals"][part][arm]
            rows.append((part.replace("_", " "), arm, *(_cell(row[name], spans[name]) for name in NAMES)))
    return rows


def _cell(mean: float | None, span: Sequence[float] | None) -> str:
    return "–" if mean is None or span is None else f"{mean:.3f} [{span[0]:.3f}, {span[1]:.3f}]"
