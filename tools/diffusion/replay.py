"""Replay a picture: draw it again from the recipe inside it, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stylus_gen.tools.diffusion.adapters import same_adapter
from stylus_gen.tools.diffusion.draw import draw, versions
from stylus_gen.tools.diffusion.pipeline import Pipeline
from stylus_gen.tools.diffusion.recipe import Recipe, read_recipe, write_picture
from stylus_gen.tools.diffusion.settings import Limits, above_usual, within_limits
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.progress import Progress, silent

_Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Replayed:
    """A picture drawn again; ``differences`` lists what changed, pixels included."""

    path: Path
    recipe: Recipe
    identical: bool
    differences: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def replay(
    path: Path,
    *,
    pipeline: Pipeline,
    files: Mapping[str, Path],
    out_dir: Path,
    progress: Progress = silent,
    limits: Limits | None = None,
) -> Replayed:
    """Draw a picture again from its own recipe into ``out_dir``, and compare the two.

    On the machine that drew it the bits are the same. The pipeline decides the base: the one that a picture names is
    compared, never loaded. Raises BadRequest for another base or for settings above the limits, AdapterRejected for
    adapter files that are missing or have changed.
    """
    recipe = read_recipe(path)
    within_limits(recipe.settings, limits or Limits())
    before = _pixels(path)
    if recipe.base_fingerprint != pipeline.fingerprint:
        raise BadRequest(f"{path.name!r} was made with the base {recipe.base!r}, and {pipeline.base!r} is not the same")
    now = recipe.model_copy(update={"device": pipeline.device, "dtype": pipeline.dtype, "versions": versions()})
    again = out_dir / f"{path.stem}-replay.png"
    steps = recipe.settings.steps or 1
    with pipeline.lock:
        adapters = {a.sha256: same_adapter(a, pipeline, files) for a in recipe.adapters}
        with pipeline.restored():
            write_picture(draw(now, pipeline, adapters, lambda step: progress(step, steps, again.name)), now, again)
    after = _pixels(again)
    same, notes = np.array_equal(before, after), above_usual(recipe.settings, pipeline.defaults)
    return Replayed(again, now, same, _differences(recipe, now, before, after), notes)


def _differences(before: Recipe, now: Recipe, old: _Pixels, new: _Pixels) -> tuple[str, ...]:
    then = {"device": before.device, "dtype": before.dtype} | before.versions
    today = {"device": now.device, "dtype": now.dtype} | now.versions
    names = [n for n in dict.fromkeys([*then, *today]) if then.get(n) != today.get(n)]
    differences = [f"{n[:40]}: {then.get(n, 'none')[:80]}, now {today.get(n, 'none')}" for n in names]
    if old.shape != new.shape:
        differences.append(f"pixels: {old.shape[1]}×{old.shape[0]}, now {new.shape[1]}×{new.shape[0]}")
    elif (count := int((old != new).any(axis=2).sum())) > 0:
        far = int(np.abs(old.astype(int) - new).max())
        differences.append(f"pixels: {count} of {old.shape[0] * old.shape[1]} differ, by at most {far} of 255")
    return tuple(differences)


def _pixels(path: Path) -> _Pixels:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BadRequest(f"{path.name!r} cannot be read as a PNG: {str(error)[:200]}") from None
