"""Train the world: text tower, autoencoder, base, adapters, judge; then ship all. `python -m stylus_gen.world.train`

Resumable: a stage whose result is in the cache does not run again; an interrupted stage continues from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylus_gen.world import DATA, write_manifest
from stylus_gen.world.adapters import TrainingContext, make_adapters
from stylus_gen.world.augment import to_pixels
from stylus_gen.world.base import (
    EncodedSet,
    base_captions,
    build_scheduler,
    build_unet,
    diffusion_loss,
    read_captions,
    save_pipeline,
)
from stylus_gen.world.captions import build_tokenizer
from stylus_gen.world.catalogue import catalogue
from stylus_gen.world.clip import (
    Clip,
    LabelledPictures,
    build_text_tower,
    clip_loss,
    evaluate_clip,
    load_clip,
    save_clip,
    split,
)
from stylus_gen.world.judge import (
    Judge,
    JudgeTrainingSet,
    Pictures,
    caption_table,
    evaluate_judge,
    judge_loss,
    load_judge,
    save_judge,
    save_truth,
)
from stylus_gen.world.loop import Schedule, fit
from stylus_gen.world.pictures import Grid, load_grid, load_more
from stylus_gen.world.things import BASE_STYLE, STYLES, THINGS, UNSEEN
from stylus_gen.world.vae import build_vae, decode_again, decoder_loss, encode, vae_loss

SEED = 7
BASE_STEPS = 1800


@dataclass(frozen=True)
class Run:
    """A run's cache, grid of pictures, share of the steps, and device."""

    cache: Path
    grid: Grid
    share: float
    device: str

    def schedule(self, steps: int, rate: float, average: float) -> Schedule:
        """Give a schedule with this run's share of the steps."""
        return Schedule(max(1, round(steps * self.share)), rate, average=average)


def show(done: int, total: int, message: str) -> None:
    """Print progress: on a terminal one line that is rewritten, elsewhere a new line each time."""
    end = "\r" if sys.stdout.isatty() and done < total else "\n"
    print(f"{time.strftime('%H:%M:%S')} {done}/{total} {message}", end=end, flush=True)


def log_stage(run: Run, stage: str, **facts: object) -> None:
    """Record what a stage did, for the model card."""
    path = run.cache / "log.json"
    log = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    log[stage] = facts
    path.write_text(json.dumps(log, indent=1) + "\n", "utf-8")


def train_clip(run: Run) -> None:
    """Train the text tower by contrastive learning with pictures."""
    folder = run.cache / "clip"
    if (folder / "clip.json").is_file():
        return
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    clip = Clip(build_text_tower(tokenizer)).to(run.device)
    seen, kept = (pictures.to(run.device) for pictures in split(run.grid))
    schedule, began = run.schedule(700, 2e-3, 40), time.monotonic()
    loss = fit(
        clip, lambda g: clip_loss(clip, tokenizer, seen, g, 96), schedule,
        seed=SEED, checkpoint=run.cache / "clip.ckpt.safetensors", progress=show, label="text tower",
    )  # fmt: skip
    facts = evaluate_clip(clip, kept)
    save_clip(clip, tokenizer, folder, facts)
    log_stage(run, "clip", steps=schedule.steps, batch=96, minutes=_minutes(began), loss=loss, held_out=facts)


def train_judge(run: Run) -> None:
    """Train the judge's image towers against the frozen text tower, and evaluate it on pictures it has not seen."""
    folder = run.cache / "judge"
    if (folder / "judge.json").is_file():
        return
    clip, tokenizer = load_clip(run.cache / "clip")
    torch.manual_seed(SEED)
    judge = Judge(clip.text.requires_grad_(False)).to(run.device)
    vae = load_vae(run)
    seen, kept = (pictures.to(run.device) for pictures in split(run.grid))
    data = judge_training_set(run, judge, tokenizer, vae, seen)
    schedule, began = run.schedule(3000, 2e-3, 60), time.monotonic()
    loss = fit(
        judge, lambda g: judge_loss(judge, data, g, 48), schedule,
        seed=SEED, checkpoint=run.cache / "judge.ckpt.safetensors", progress=show, label="judge",
    )  # fmt: skip
    facts = evaluate_judge(judge, kept)
    decoded = evaluate_judge(judge, replace(kept, pixels=decode_again(vae, kept.pixels)))
    save_judge(judge, tokenizer, folder, facts)
    log_stage(
        run, "judge", steps=schedule.steps, batch=48, minutes=_minutes(began), loss=loss,
        held_out=facts, held_out_decoded=decoded,
    )  # fmt: skip
    show(schedule.steps, schedule.steps, f"judge on held-out pictures: {facts}; decoded: {decoded}")


def judge_training_set(run: Run, judge: Judge, tokenizer: Any, vae: Any, seen: LabelledPictures) -> JudgeTrainingSet:
    """Build the judge's training set."""
    more, styles = load_more(run.cache.parent, run.grid.size, show)
    others = to_pixels(more).to(run.device)
    return JudgeTrainingSet(
        Pictures(seen.pixels, decode_again(vae, seen.pixels), seen.styles), seen.things,
        Pictures(others, decode_again(vae, others), torch.from_numpy(styles).to(run.device)),
        caption_table(judge, tokenizer, SEED),
    )  # fmt: skip


def train_vae(run: Run) -> None:
    """Train the autoencoder and set its scaling factor so that latents have unit variance."""
    folder = run.cache / "vae"
    if (folder / "config.json").is_file():
        return
    torch.manual_seed(SEED)
    vae = build_vae(run.grid.size).to(run.device)
    pixels = to_pixels(run.grid.pixels[run.grid.present]).to(run.device)
    schedule, began = run.schedule(1200, 2e-3, 50), time.monotonic()
    loss = fit(
        vae, lambda g: vae_loss(vae, pixels, g, 32), schedule,
        seed=SEED, checkpoint=run.cache / "vae.ckpt.safetensors", progress=show, label="autoencoder",
    )  # fmt: skip
    vae.eval().register_to_config(scaling_factor=1.0)
    vae.register_to_config(scaling_factor=round(1 / encode(vae, pixels).std().item(), 4))
    vae.save_pretrained(folder)
    log_stage(run, "vae", steps=schedule.steps, batch=32, minutes=_minutes(began), loss=loss)


def train_decoder(run: Run) -> None:
    """Train the decoder further with a frozen encoder: latents do not change, so base and adapters stay valid."""
    done = run.cache / "vae" / "decoder.json"
    if done.is_file():
        return
    vae = load_vae(run).requires_grad_(False)
    vae.decoder.requires_grad_(True)
    pixels = to_pixels(run.grid.pixels[run.grid.present]).to(run.device)
    schedule, began = run.schedule(900, 1e-3, 50), time.monotonic()
    loss = fit(
        vae, lambda g: decoder_loss(vae, pixels, g, 32), schedule,
        seed=SEED, checkpoint=run.cache / "decoder.ckpt.safetensors", progress=show, label="decoder",
    )  # fmt: skip
    vae.save_pretrained(run.cache / "vae")
    done.write_text("{}\n", "utf-8")
    log_stage(run, "decoder", steps=schedule.steps, batch=32, minutes=_minutes(began), loss=loss)


def train_base(run: Run) -> None:
    """Train the UNet on the things outside `UNSEEN`, in the base's style, and write the pipeline."""
    folder = run.cache / "base"
    if (folder / "model_index.json").is_file():
        return
    clip, tokenizer = load_clip(run.cache / "clip")
    vae = load_vae(run)
    encoded = base_training_set(run, clip.text.to(run.device), tokenizer, vae)
    torch.manual_seed(SEED)
    unet, scheduler = build_unet(run.grid.size).to(run.device), build_scheduler()
    schedule, began = run.schedule(BASE_STEPS, 1e-3, 100), time.monotonic()
    loss = fit(
        unet, lambda g: diffusion_loss(unet, scheduler, encoded, g, 32), schedule,
        seed=SEED, checkpoint=run.cache / "base.ckpt.safetensors", progress=show, label="base",
    )  # fmt: skip
    save_pipeline(clip.text, tokenizer, vae, unet, folder)
    log_stage(run, "base", steps=schedule.steps, batch=32, minutes=_minutes(began), loss=loss)


def load_vae(run: Run) -> Any:
    """Read the trained autoencoder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(run.cache / "vae").eval().to(run.device)


def load_unet(run: Run) -> Any:
    """Read the trained base's UNet."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(run.cache / "base" / "unet").to(run.device)


def base_training_set(run: Run, text: Any, tokenizer: Any, vae: Any) -> EncodedSet:
    """Encode the base's training pictures, and 32 captions for each."""
    rng = random.Random(SEED)
    names = [thing for thing in THINGS if thing not in UNSEEN]
    rows = [list(THINGS).index(thing) for thing in names]
    style = [s.name for s in STYLES].index(BASE_STYLE)
    captions = [c for thing in names for c in base_captions(thing, 32, rng)]
    texts = read_captions(text, tokenizer, captions).unflatten(0, (len(names), 32))
    latents = encode(vae, to_pixels(run.grid.pixels[rows, style]))
    return EncodedSet(latents, texts, read_captions(text, tokenizer, [""])[0])


def train_adapters(run: Run) -> None:
    """Train the catalogue on the frozen base."""
    clip, tokenizer = load_clip(run.cache / "clip")
    unet = load_unet(run).requires_grad_(False)
    context = TrainingContext(clip.text.to(run.device), tokenizer, load_vae(run), unet, run.grid, run.share)
    began = time.monotonic()
    losses = make_adapters(catalogue(), context, run.cache / "adapters", show)
    if losses:
        log_stage(run, "adapters", count=len(losses), minutes=_minutes(began), losses=losses)


def _minutes(began: float) -> float:
    return round((time.monotonic() - began) / 60, 1)


def ship(run: Run) -> None:
    """Copy the trained files into the package, with a manifest of hashes and the log of the run."""
    for part in ("base", "adapters", "judge"):
        shutil.rmtree(DATA / part, ignore_errors=True)
    for part in ("adapters", "judge"):
        shutil.copytree(run.cache / part, DATA / part)
    clip, tokenizer = load_clip(run.cache / "clip")
    save_pipeline(clip.text, tokenizer, load_vae(run).cpu(), load_unet(run).cpu(), DATA / "base")
    for path in DATA.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.copy(run.cache / "log.json", DATA / "training.json")
    judge, _ = load_judge(DATA / "judge")
    save_truth(judge, run.grid, DATA / "judge")
    write_manifest(DATA)
    show(1, 1, f"shipped to {DATA.name}")


STAGES: dict[str, Callable[[Run], None]] = {
    "clip": train_clip, "vae": train_vae, "decoder": train_decoder, "base": train_base,
    "adapters": train_adapters, "judge": train_judge, "ship": ship,
}  # fmt: skip


def main() -> None:
    """Run the stages in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "stylus-world")
    parser.add_argument("--size", type=int, default=32, choices=(32, 64), help="side of a picture in pixels")
    parser.add_argument("--share", type=float, default=1.0, help="share of the steps to run (0.01 for a rehearsal)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cache = args.cache / f"{args.size}"
    cache.mkdir(parents=True, exist_ok=True)
    run = Run(cache, load_grid(args.cache, args.size, show), args.share, args.device)
    for stage in args.stages:
        STAGES[stage](run)


if __name__ == "__main__":
    main()
