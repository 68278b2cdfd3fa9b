"""The demo: plans five prompts on the small world and draws them without and with adapters from the same seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stylus_gen.sheet import SheetRow, write_sheet

if TYPE_CHECKING:
    from stylus_gen.api import Stylus
    from stylus_gen.tools.plan import Plan

PROMPTS = {
    "plain, the base knows it": "a cat",
    "a style": "a rocket, black and white stencil style",
    "a thing the base never saw": "a penguin",
    "both": "a penguin, glossy 3D style",
    "nothing fits": "the sound of rain on a Tuesday",
}
SEED = 7
IMAGES = 3


def run_demo(stylus: Stylus, show: Callable[[str, Plan], None]) -> Path:
    """Plan and draw the five prompts; return the contact sheet's path. ``show`` gets each plan when it is made."""
    rows = []
    for what, prompt in PROMPTS.items():
        plan = stylus.plan(prompt, images=IMAGES, seed=SEED)
        show(what, plan)
        result = stylus.generate(plan, control=True)
        names = ", ".join(f"{a.name} at {a.weight:.2f}" for a in plan.assignments) or "no adapter"
        rows.append(SheetRow(f"“{prompt}” ({what})", names, (result.controls, result.images)))
    return write_sheet(stylus.settings.outputs / "demo.png", ("without adapters", "with Stylus's adapters"), rows)
