"""Draw one picture from one recipe. The same recipe draws the same bits on one machine.

`draw` makes one picture at a time from its own CPU generator, so that neither the batch size nor the device changes the
random numbers. The evaluation of the small world draws batches with `draw_images`.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import diffusers.utils.logging
import numpy as np
import torch
import transformers.utils.logging
from PIL import Image

from stylus_gen.tools.diffusion.apply import Weighted
from stylus_gen.tools.diffusion.pipeline import Pipeline
from stylus_gen.tools.diffusion.recipe import Recipe
from stylus_gen.tools.diffusion.schedulers import make_scheduler, quiet_numpy
from stylus_gen.tools.diffusion.settings import RenderSettings
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.lora.adapter import Adapter

OnStep = Callable[[int], None]
"""Called with the number of denoising steps done."""


def draw(recipe: Recipe, pipeline: Pipeline, adapters: Mapping[str, Adapter], on_step: OnStep) -> Image.Image:
    """Draw a recipe with ``adapters`` (by SHA-256). The caller holds the pipeline's lock and restores the base.

    Raises AdapterRejected where the weights overflow, BadRequest where the picture comes out as NaN.
    """
    inputs = {
        "prompt": recipe.prompt,
        # None, not "": SDXL treats an empty text and no text differently
        "negative_prompt": recipe.negative_prompt or None,
        "generator": torch.Generator("cpu").manual_seed(recipe.seed),
    }
    weighted = [(adapters[a.sha256], a.weight) for a in recipe.adapters]
    return draw_images(pipeline, weighted, recipe.settings, inputs, [f"picture {recipe.image}"], on_step)[0]


def draw_images(
    pipeline: Pipeline,
    adapters: Sequence[Weighted],
    settings: RenderSettings,
    inputs: Mapping[str, Any],
    names: Sequence[str],
    on_step: OnStep = lambda step: None,
) -> list[Image.Image]:
    """Draw the pipeline's ``inputs`` (prompts and generators, one each or lists) with complete settings.

    ``names`` stand for the pictures in errors. The caller holds the pipeline's lock and restores the base. Raises as
    `draw` does.
    """
    pipeline.runtime.apply(adapters)
    pipeline.pipe.scheduler = make_scheduler(pipeline.scheduler, str(settings.scheduler))
    with quiet_numpy(), _quiet_libraries(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        images = pipeline.pipe(**_arguments(pipeline, settings, inputs, on_step)).images
    for name, pixels in zip(names, images, strict=True):
        if not np.isfinite(pixels).all():
            raise BadRequest(
                f"{name} came out as NaN in {pipeline.dtype}: lower the guidance or the adapters' weights, or use "
                "dtype float32"
            )
    return [Image.fromarray((pixels * 255).round().astype(np.uint8)) for pixels in images]


def ignored(recipe_prompt: str, negative_prompt: str, pipeline: Pipeline) -> tuple[str, ...]:
    """List which parts of the prompts this base will ignore."""
    notes = []
    for name, text in (("prompt", recipe_prompt), ("negative prompt", negative_prompt)):
        with _quiet_libraries():
            limit, count = _tokens(pipeline.pipe, text)
        if count > limit:
            notes.append(f"the {name} has {count} tokens and this base reads {limit}: the end of it is ignored")
    if negative_prompt and not _takes_negative(pipeline):
        notes.append("this base takes no negative prompt: it is ignored")
    return tuple(notes)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep diffusers and transformers from printing long prompts: `ignored` reports them in one line."""
    before = [(module, module.get_verbosity()) for module in (diffusers.utils.logging, transformers.utils.logging)]
    for module, _ in before:
        module.set_verbosity_error()
    try:
        yield
    finally:
        for module, level in before:
            module.set_verbosity(level)


def versions() -> dict[str, str]:
    """List what else decides the pixels: library versions, processor and threads."""
    names = ("stylus-gen", "torch", "diffusers", "transformers", "safetensors", "numpy")
    return {name: version(name) for name in names} | {
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def _arguments(
    pipeline: Pipeline, settings: RenderSettings, inputs: Mapping[str, Any], on_step: OnStep
) -> dict[str, Any]:
    guidance = "true_cfg_scale" if pipeline.family == "qwen" else "guidance_scale"

    def step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    given = {
        **inputs,
        "num_inference_steps": settings.steps,
        guidance: settings.guidance,
        "width": settings.width,
        "height": settings.height,
        "output_type": "np",
        "callback_on_step_end": step_end,
    }
    takes = _takes(pipeline.pipe)
    return {name: value for name, value in given.items() if name in takes}


def _takes(pipe: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipe).__call__).parameters


def _takes_negative(pipeline: Pipeline) -> bool:
    takes = _takes(pipeline.pipe)
    return "negative_prompt" in takes and ("true_cfg_scale" not in takes or pipeline.family == "qwen")


def _tokens(pipe: Any, text: str) -> tuple[int, int]:
    """Give the token limit of the base's longest text encoder, and how many tokens the text has there."""
    known = [t for t in (getattr(pipe, f"tokenizer{n}", None) for n in ("", "_2", "_3")) if t is not None]
    longest = max(known, key=lambda tokenizer: int(tokenizer.model_max_length), default=None)
    return (0, 0) if longest is None else (int(longest.model_max_length), len(longest(text).input_ids))
