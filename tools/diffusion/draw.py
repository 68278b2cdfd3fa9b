"""Draw one picture from one recipe. The same recipe draws the same bits on one machine.

Pictures are drawn one at a time, each from its own CPU generator, so that neither the batch size nor the device changes
the random numbers.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import diffusers.utils.logging
import numpy as np
import torch
import transformers.utils.logging
from PIL import Image

from stylus_gen.tools.diffusion.pipeline import Pipeline
from stylus_gen.tools.diffusion.recipe import Recipe
from stylus_gen.tools.diffusion.schedulers import make_scheduler, quiet_numpy
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.lora.adapter import Adapter

OnStep = Callable[[int], None]
"""Called with the number of denoising steps done."""


def draw(recipe: Recipe, pipeline: Pipeline, adapters: Mapping[str, Adapter], on_step: OnStep) -> Image.Image:
    """Draw a recipe with ``adapters`` (by SHA-256). The caller holds the pipeline's lock and restores the base.

    Raises AdapterRejected where the weights overflow, BadRequest where the picture comes out as NaN.
    """
    pipeline.runtime.apply([(adapters[a.sha256], a.weight) for a in recipe.adapters])
    pipeline.pipe.scheduler = make_scheduler(pipeline.scheduler, str(recipe.settings.scheduler))
    with quiet_numpy(), _quiet_libraries(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        pixels = pipeline.pipe(**_arguments(recipe, pipeline, on_step)).images[0]
    if not np.isfinite(pixels).all():
        raise BadRequest(
            f"picture {recipe.image} came out as NaN in {recipe.dtype}: lower the guidance or the adapters' weights, "
            "or use dtype float32"
        )
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


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


def _arguments(recipe: Recipe, pipeline: Pipeline, on_step: OnStep) -> dict[str, Any]:
    of = recipe.settings
    guidance = "true_cfg_scale" if pipeline.family == "qwen" else "guidance_scale"

    def step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    given = {
        "prompt": recipe.prompt,
        # None, not "": SDXL treats an empty text and no text differently
        "negative_prompt": recipe.negative_prompt or None,
        "num_inference_steps": of.steps,
        guidance: of.guidance,
        "width": of.width,
        "height": of.height,
        "generator": torch.Generator("cpu").manual_seed(recipe.seed),
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
