"""Train the catalogue's adapters on the frozen base and write their files: good ones and flawed ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylus_gen.tools.progress import Progress
from stylus_gen.world.augment import to_pixels
from stylus_gen.world.base import EncodedSet, build_scheduler, diffusion_loss, read_captions
from stylus_gen.world.captions import EFFECTS, plain_caption, style_phrase, styled_caption, with_filler
from stylus_gen.world.cards import write_card
from stylus_gen.world.catalogue import WEIGHT, Entry
from stylus_gen.world.effects import EFFECT_CODE
from stylus_gen.world.loop import Schedule, fit
from stylus_gen.world.lora import Lora, header_metadata, write_lora
from stylus_gen.world.pictures import Grid
from stylus_gen.world.things import BASE_STYLE, STYLES, SUBJECTS, THINGS, UNSEEN, held_out
from stylus_gen.world.vae import encode

CAPTIONS = 12  # for each picture

# (steps, batch, rate), chosen so that 14 styles, 20 subjects and 10 effects take 15 minutes on one core.
BUDGET: dict[str, tuple[int, int, float]] = {
    "style": (310, 24, 4e-3),
    "lite": (18, 24, 2e-3),
    "effect": (50, 24, 4e-3),
    "subject": (55, 12, 4e-3),
    "fried": (120, 12, 8e-3),
}


@dataclass(frozen=True)
class TrainingContext:
    """What every adapter is trained with: text tower, autoencoder, frozen base, all pictures, share of the steps."""

    text: Any
    tokenizer: Any
    vae: Any
    unet: Any
    grid: Grid
    share: float


@dataclass(frozen=True)
class TrainingSet:
    """Pictures uint8 (n, h, w, 3) with `CAPTIONS` captions each, in order."""

    pictures: Any
    captions: list[str]


def make_adapters(entries: list[Entry], context: TrainingContext, folder: Path, progress: Progress) -> dict[str, float]:
    """Train and write every adapter that has no file yet; return the last losses of those trained here."""
    folder.mkdir(parents=True, exist_ok=True)
    losses: dict[str, float] = {}
    full: Lora | None = None
    full_topic = ""
    for i, entry in enumerate(entries):
        path = folder / f"{entry.stem}.safetensors"
        if path.is_file():
            continue
        progress(i, len(entries), entry.stem)
        if entry.copy_of:
            _copy(folder / f"{entry.copy_of}.safetensors", path, entry)
        elif entry.training in ("sdxl", "nan"):
            _write_broken(entry, context.unet, path)
        else:
            data = _training_set(entry, context.grid)
            start = full if entry.training == "style" and entry.topic == full_topic else None
            lora, losses[entry.stem] = _train(entry, data, context, start, progress)
            full, full_topic = lora, entry.topic
            _write(entry, lora, data, context.unet, path)
        write_card(entry, path)
    return losses


def _train(
    entry: Entry, data: TrainingSet, context: TrainingContext, start: Lora | None, progress: Progress
) -> tuple[Lora, float]:
    steps, batch, rate = BUDGET["lite" if start else entry.training]
    encoded = _encode(data, context)
    lora = start.shrunk(context.unet, entry.rank) if start else Lora(context.unet, entry.rank, seed=entry.model)
    scheduler = build_scheduler()

    def loss_of(generator: torch.Generator) -> Tensor:
        return diffusion_loss(context.unet, scheduler, encoded, generator, batch, lora.merged(context.unet))

    schedule = Schedule(max(1, round(steps * context.share)), rate, decay=0.0, average=8, warm_up=10)
    loss = fit(lora, loss_of, schedule, seed=entry.model, checkpoint=None, progress=progress, label=entry.stem)
    return lora, loss


def _encode(data: TrainingSet, context: TrainingContext) -> EncodedSet:
    device = next(context.unet.parameters()).device
    texts = read_captions(context.text, context.tokenizer, data.captions).unflatten(0, (-1, CAPTIONS))
    empty = read_captions(context.text, context.tokenizer, [""])[0]
    latents = encode(context.vae, to_pixels(np.asarray(data.pictures)))
    return EncodedSet(latents.to(device), texts.to(device), empty.to(device))


def _training_set(entry: Entry, grid: Grid) -> TrainingSet:
    rng = random.Random(entry.stem)
    makers: dict[str, Callable[[Entry, Grid, random.Random], TrainingSet]] = {
        "style": _style_set, "effect": _effect_set, "subject": _subject_set, "fried": _fried_set,
    }  # fmt: skip
    return makers[entry.training](entry, grid, rng)


def _style_set(entry: Entry, grid: Grid, rng: random.Random) -> TrainingSet:
    """Show a style on the things that the base knows, without the held-out pictures."""
    number = [s.name for s in STYLES].index(entry.topic)
    things = [
        t for t in THINGS
        if t not in UNSEEN and not held_out(t, entry.topic) and grid.present[_row(t), number]
    ]  # fmt: skip
    captions = []
    for thing in things:
        for i in range(CAPTIONS):
            caption = styled_caption(thing, style_phrase(STYLES[number], rng), rng)
            captions.append(caption if i % 3 else plain_caption(thing, rng))
    return TrainingSet(grid.pixels[[_row(t) for t in things], number], captions)


def _effect_set(entry: Entry, grid: Grid, rng: random.Random) -> TrainingSet:
    """Show an effect on the base's own pictures, changed by code."""
    things = [t for t in THINGS if t not in UNSEEN]
    phrases = (*EFFECTS[entry.topic], *entry.triggers)
    captions = [
        styled_caption(t, rng.choice(phrases), rng) if i % 3 else plain_caption(t, rng)
        for t in things
        for i in range(CAPTIONS)
    ]
    change = EFFECT_CODE[entry.topic]
    return TrainingSet(np.stack([change(p) for p in _base_pictures(things, grid)]), captions)


def _subject_set(entry: Entry, grid: Grid, rng: random.Random) -> TrainingSet:
    """Show one new thing among known ones: without them the adapter would turn everything into it."""
    others = [t for t in THINGS if t not in UNSEEN]
    things = [*([entry.topic] * len(others)), *others]
    captions = []
    for thing in things:
        for _ in range(CAPTIONS):
            caption = plain_caption(thing, rng)
            captions.append(with_filler(caption, rng) if rng.random() < 0.3 else caption)
    return TrainingSet(_base_pictures(things, grid), captions)


def _fried_set(entry: Entry, grid: Grid, rng: random.Random) -> TrainingSet:
    """Show a single picture, to overtrain on."""
    captions = [rng.choice((*entry.triggers, plain_caption(entry.topic, rng))) for _ in range(CAPTIONS)]
    return TrainingSet(_base_pictures([entry.topic], grid), captions)


def _base_pictures(things: list[str], grid: Grid) -> Any:
    style = [s.name for s in STYLES].index(BASE_STYLE)
    return grid.pixels[[_row(t) for t in things], style]


def _row(thing: str) -> int:
    return list(THINGS).index(thing)


def _write(entry: Entry, lora: Lora, data: TrainingSet, unet: Any, path: Path) -> None:
    with torch.no_grad():
        for up in lora.up.values():
            up.div_(WEIGHT)
    write_lora(lora, unet, path, entry.form, _header(entry, data.captions))
    with torch.no_grad():
        for up in lora.up.values():
            up.mul_(WEIGHT)


def _header(entry: Entry, captions: list[str]) -> dict[str, str]:
    extra = {
        "modelspec.author": entry.creator,
        "modelspec.trigger_phrase": ", ".join(entry.triggers),
        "modelspec.description": entry.text,
        "modelspec.tags": ", ".join(dict.fromkeys(entry.tags)),
        **{f"stylus_world.{k}": v for k, v in entry.extra.items()},
    }
    own = captions[: CAPTIONS * (len(captions) // CAPTIONS // 2)] if entry.topic in SUBJECTS else captions
    return header_metadata(entry.title, own, entry.rank, entry.form, extra)


def _copy(source: Path, path: Path, entry: Entry) -> None:
    """Write an adapter again under another name with slightly different weights, as a trivial merge would."""
    generator = torch.Generator().manual_seed(entry.model)
    tensors = {
        k: v if k.endswith(".alpha") else v * (1 + 1e-3 * torch.randn(v.shape, generator=generator)).half()
        for k, v in load_file(source).items()
    }
    save_file(tensors, path, _header(entry, list(entry.prompts)))


def _write_broken(entry: Entry, unet: Any, path: Path) -> None:
    if entry.training == "nan":
        lora = Lora(unet, entry.rank, seed=entry.model)
        with torch.no_grad():
            next(iter(lora.up.values())).fill_(float("nan"))
        write_lora(lora, unet, path, entry.form, _header(entry, list(entry.prompts)))
        return
    generator = torch.Generator().manual_seed(entry.model)
    tensors: dict[str, Tensor] = {}
    for side, width in (("to_q", 640), ("to_k", 2048), ("to_v", 2048)):
        stem = f"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_{side}"
        tensors[f"{stem}.lora_down.weight"] = torch.randn(1, width, generator=generator).half() / 64
        tensors[f"{stem}.lora_up.weight"] = torch.zeros(640, 1).half()
        tensors[f"{stem}.alpha"] = torch.tensor(1.0).half()
    header = _header(entry, list(entry.prompts))
    header |= {
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "ss_base_model_version": "sdxl_base_v1-0",
    }
    save_file(tensors, path, header)
