"""The diffusion tool: draws a plan's pictures and writes each one's recipe into it.

It does not read the store: the caller gives the file of each adapter id. Pictures are finished one by one, so an
interrupted run loses at most one picture, and the next run draws only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stylus_gen.tools.diffusion.adapters import load_adapters
from stylus_gen.tools.diffusion.draw import draw
from stylus_gen.tools.diffusion.pipeline import Pipeline, load_base
from stylus_gen.tools.diffusion.preparation import prepare_recipe
from stylus_gen.tools.diffusion.recipe import Recipe, is_whole, read_recipe, write_picture
from stylus_gen.tools.diffusion.replay import Replayed, replay
from stylus_gen.tools.diffusion.settings import Limits, RenderSettings, render_settings, within_limits
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.lora.adapter import Adapter
from stylus_gen.tools.plan import Plan
from stylus_gen.tools.progress import Progress, silent

__all__ = [
    "Limits",
    "Picture",
    "Pipeline",
    "RenderSettings",
    "Replayed",
    "generate",
    "load_base",
    "render_settings",
    "replay",
    "within_limits",
]


@dataclass(frozen=True)
class Picture:
    """A finished picture. ``drawn`` is false where an earlier run drew it."""

    path: Path
    recipe: Recipe
    drawn: bool = True


def generate(
    plan: Plan,
    *,
    pipeline: Pipeline,
    files: Mapping[str, Path],
    settings: RenderSettings | None = None,
    out_dir: Path,
    progress: Progress = silent,
    limits: Limits | None = None,
) -> list[Picture]:
    """Draw a plan: one picture a mask row, in order, then, with ``control``, each again without adapters.

    Picture ``i`` starts from seed ``plan.seed + i``, with and without adapters. ``files`` maps adapter ids to files.
    Raises, before anything is drawn, AdapterRejected naming every adapter that cannot be used and why, and BadRequest
    for settings above the limits.
    """
    chosen = within_limits((settings or RenderSettings()).over(pipeline.defaults), limits or Limits())
    with pipeline.lock:
        adapters = load_adapters(plan, pipeline, files)
        rows = range(plan.images)
        recipes = [prepare_recipe(plan, row, pipeline, adapters, chosen) for row in rows]
        if chosen.control:
            recipes += [prepare_recipe(plan, row, pipeline, adapters, chosen, control=True) for row in rows]
        return _draw_missing(recipes, pipeline, {a.sha256: a for a in adapters.values()}, out_dir, progress)


def _draw_missing(
    recipes: Sequence[Recipe], pipeline: Pipeline, adapters: Mapping[str, Adapter], out_dir: Path, progress: Progress
) -> list[Picture]:
    steps = recipes[0].settings.steps or 1
    pictures: list[Picture] = []
    with pipeline.restored():
        for i, recipe in enumerate(recipes):
            path, message = out_dir / recipe.file_name, f"picture {i + 1} of {len(recipes)}"
            there = _finished(path, recipe.key)
            if there is None:
                on_step = partial(_report, progress, i * steps, (i + 1) * steps, len(recipes) * steps, message)
                write_picture(draw(recipe, pipeline, adapters, on_step), recipe, path)
            pictures.append(Picture(path, there or recipe, drawn=there is None))
            progress((i + 1) * steps, len(recipes) * steps, message)
    return pictures


def _report(progress: Progress, start: int, end: int, total: int, message: str, step: int) -> None:
    progress(min(start + step, end), total, message)  # Heun-like schedulers report each step twice


def _finished(path: Path, key: str) -> Recipe | None:
    """Give the recipe of a picture that an earlier run finished; ``None`` where it is missing or incomplete."""
    if not path.is_file() or not is_whole(path):
        return None
    try:
        recipe = read_recipe(path)
    except BadRequest:
        return None
    return recipe if recipe.key == key else None
