"""A recipe in any form that a person has it: a plan, a plan's file, a picture, or a prompt with ``<lora:…>`` tags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stylus_gen.tools.a1111 import Use, read_a1111
from stylus_gen.tools.check import uses_of
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family
from stylus_gen.tools.picture import read_picture
from stylus_gen.tools.plan import Plan
from stylus_gen.tools.plan_file import read_plan
from stylus_gen.tools.text import MAX_RECIPE, readable


class RecipeInput(NamedTuple):
    """A prompt and its adapters. ``family`` is known for plans only."""

    prompt: str
    uses: Sequence[Use]
    family: Family | None = None


def read_recipe_input(recipe: str | Path | Plan) -> RecipeInput:
    """Read a recipe. Raises BadRequest for a file that holds none and for a prompt that names no adapter."""
    if isinstance(recipe, Plan):
        return RecipeInput(recipe.final_prompt, uses_of(recipe), recipe.family)
    text = readable(str(recipe) if isinstance(recipe, Path) else recipe, "the recipe", MAX_RECIPE)
    if text.lower().endswith(".json"):
        return read_recipe_input(read_plan(text))
    if text.lower().endswith(".png"):
        return RecipeInput(*read_picture(Path(text)))
    prompt, uses = read_a1111(text)
    if not uses:
        raise BadRequest(
            f"{text[:60]!r} names no adapter: expected a plan's .json, a .png, or a prompt with <lora:name:weight> tags"
        )
    return RecipeInput(prompt, uses)
