"""Plans for people who draw elsewhere: A1111's text, a ComfyUI workflow, a diffusers script, the plan as JSON.

Pure: the caller says which file each adapter is. Names of files and prompts come from strangers: they stay quoted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, get_args

from stylus_gen.tools.a1111 import Use, format_parameters
from stylus_gen.tools.card import Card
from stylus_gen.tools.diffusion.settings import RenderSettings, usual_settings
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import TITLES, Family
from stylus_gen.tools.plan import Plan, drawn_prompt
from stylus_gen.tools.stem import stem_of

Form = Literal["a1111", "comfyui", "diffusers", "json"]
FORMS: tuple[Form, ...] = get_args(Form)

_SIZE: dict[str, int] = {"sd15": 512, "sd2": 768, "world": 32}
"""Pixels a side that a family was trained at; the others: 1024."""

_CHECKPOINTS: frozenset[Family] = frozenset({"sd15", "sd2", "sdxl", "pony", "illustrious", "noobai"})
"""Families that ComfyUI's CheckpointLoaderSimple and one KSampler draw; the others need loaders of their own."""


class AdapterFile(NamedTuple):
    """The file of an adapter: its name, its AutoV3 hash, and its path where it is on this machine."""

    name: str
    autov3: str = ""
    path: str | None = None

    @property
    def stem(self) -> str:
        """Give the name without its suffix, as A1111 writes it."""
        return stem_of(self.name)


def file_of(card: Card) -> AdapterFile:
    """Name the file that a card describes. Raises BadRequest where no source gives its name."""
    name = PurePath(card.path).name if card.path else card.file_name
    if not name:
        raise BadRequest(f"nothing says what the file of {card.name!r} is called: import the file itself")
    return AdapterFile(name, card.aliases.get("autov3", ""), card.path)


def export_plan(
    plan: Plan,
    form: str,
    files: Mapping[str, AdapterFile],
    *,
    base: str,
    settings: RenderSettings | None = None,
    image: int = 0,
) -> str:
    """Write one image of a plan for another program; ``files`` maps adapter ids to files.

    Of ``settings`` steps, guidance and size count; what is ``None`` is the family's usual.
    Raises BadRequest for an unknown form, an image that the plan does not have, or a family that the form cannot draw.
    """
    if form not in _WRITERS:
        raise BadRequest(f"no export is called {form!r}: choose one of {', '.join(FORMS)}")
    if not 0 <= image < plan.images:
        raise BadRequest(f"the plan has no image {image}: its images are 0 to {plan.images - 1}")
    active = tuple((files[a.adapter_id], a.weight) for a in plan.active(image))
    return _WRITERS[form](Drawing(plan, image, active, base, (settings or RenderSettings()).over(_usual(plan.family))))


class Drawing(NamedTuple):
    """One image of a plan, with everything that a writer needs."""

    plan: Plan
    image: int
    active: Sequence[tuple[AdapterFile, float]]
    base: str
    settings: RenderSettings

    @property
    def prompt(self) -> str:
        """Give the prompt with the trigger words of the active adapters."""
        return drawn_prompt(self.plan, self.image)

    @property
    def seed(self) -> int:
        """Give the image's seed."""
        return self.plan.seed + self.image


def _usual(family: Family) -> RenderSettings:
    steps, guidance = usual_settings(family)
    side = _SIZE.get(family, 1024)
    return RenderSettings(steps=steps, guidance=guidance, width=side, height=side)


def _json(of: Drawing) -> str:
    return of.plan.model_dump_json(indent=2)


def _a1111(of: Drawing) -> str:
    uses = [Use(file.stem, weight, file.autov3) for file, weight in of.active]
    return format_parameters(of.prompt, of.plan.negative_prompt, [("Seed", str(of.seed))], uses)


def _comfyui(of: Drawing) -> str:
    """Write ComfyUI's API format: node id to class and inputs; a link is [node id, output]."""
    family = of.plan.family
    if family not in _CHECKPOINTS:
        able = ", ".join(TITLES[known] for known in TITLES if known in _CHECKPOINTS)
        raise BadRequest(
            f"the plan is for {TITLES[family]}, and the ComfyUI workflow is written for checkpoints of {able} only: "
            "use --as a1111 for its tags, or --as json"
        )
    nodes: dict[str, Any] = {}

    def node(class_type: str, title: str = "", **inputs: Any) -> str:
        name = str(len(nodes) + 1)
        nodes[name] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}
        return name

    checkpoint = PurePath(of.base).name if of.base.endswith(".safetensors") else f"{family}.safetensors"
    loader = node("CheckpointLoaderSimple", "Choose your checkpoint", ckpt_name=checkpoint)
    model, clip = [loader, 0], [loader, 1]
    for file, weight in of.active:
        strength = {"strength_model": weight, "strength_clip": weight}
        lora = node("LoraLoader", file.stem, model=model, clip=clip, lora_name=file.name, **strength)
        model, clip = [lora, 0], [lora, 1]
    positive = node("CLIPTextEncode", "Prompt", clip=clip, text=of.prompt)
    negative = node("CLIPTextEncode", "Negative prompt", clip=clip, text=of.plan.negative_prompt)
    latent = node("EmptyLatentImage", width=of.settings.width, height=of.settings.height, batch_size=1)
    samples = node(
        "KSampler",
        model=model,
        positive=[positive, 0],
        negative=[negative, 0],
        latent_image=[latent, 0],
        seed=of.seed,
        steps=of.settings.steps,
        cfg=of.settings.guidance,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=1.0,
    )
    pixels = node("VAEDecode", samples=[samples, 0], vae=[loader, 2])
    node("SaveImage", images=[pixels, 0], filename_prefix="stylus")
    return json.dumps(nodes, ensure_ascii=False, indent=2)


def _diffusers(of: Drawing) -> str:
    """Write a script; every name in it is a quoted Python string, and adapters are named by number."""
    loads = [
        f"pipe.load_lora_weights({_folder(file)!r}, weight_name={file.name!r}, adapter_name={f'lora{i}'!r})"
        for i, (file, _) in enumerate(of.active)
    ]
    if loads:
        names = [f"lora{i}" for i in range(len(loads))]
        loads.append(f"pipe.set_adapters({names!r}, {[weight for _, weight in of.active]!r})")
    return _SCRIPT.format(
        base=of.base,
        loads="\n".join(loads),
        prompt=of.prompt,
        negative=of.plan.negative_prompt or None,
        settings=of.settings,
        seed=of.seed,
    )


def _folder(file: AdapterFile) -> str:
    return str(PurePath(file.path).parent) if file.path else "."


_SCRIPT = """\
import torch
from diffusers import DiffusionPipeline

device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.float16 if device == "cuda" else torch.float32
pipe = DiffusionPipeline.from_pretrained({base!r}, dtype=dtype, use_safetensors=True).to(device)
{loads}
picture = pipe(
    {prompt!r},
    negative_prompt={negative!r},
    num_inference_steps={settings.steps},
    guidance_scale={settings.guidance},
    width={settings.width},
    height={settings.height},
    generator=torch.Generator("cpu").manual_seed({seed}),
).images[0]
picture.save("picture.png")
"""

_WRITERS: dict[str, Callable[[Drawing], str]] = {
    "a1111": _a1111,
    "comfyui": _comfyui,
    "diffusers": _diffusers,
    "json": _json,
}
