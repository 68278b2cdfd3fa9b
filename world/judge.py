"""The judge: a small CLIP with classifiers for thing and style. Its text tower is also the base's text encoder.

It reads pictures of the world's own size. It has never seen the pictures that `things.held_out` names.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylus_gen.world.captions import MAX_TOKENS, plain_caption, style_phrase, styled_caption, with_filler
from stylus_gen.world.pictures import Grid
from stylus_gen.world.things import STYLES, THINGS, held_out

WIDTH = 128  # of the text tower and of the shared space
FEATURES = 256


class _Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1, stride) if c_in != c_out or stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.skip(x))


class Judge(nn.Module):
    """Image tower (conv), text tower (CLIP), one shared space, two classifiers on the image features."""

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), _Block(32, 64, 2), _Block(64, 128, 2), _Block(128, FEATURES, 2)
        )
        self.text = text
        self.project = nn.Linear(FEATURES, WIDTH, bias=False)
        self.thing = nn.Linear(FEATURES, len(THINGS))
        self.style = nn.Linear(FEATURES, len(STYLES))
        self.text_thing = nn.Linear(WIDTH, len(THINGS))
        self.scale = nn.Parameter(torch.tensor(2.5))

    def see(self, pixels: Tensor) -> Tensor:
        """Give features (n, 256) of pixels (n, 3, h, w) in [-1, 1]."""
        features: Tensor = self.tower(pixels).mean((2, 3))
        return features

    def read(self, tokens: Tensor) -> Tensor:
        """Give unit vectors (n, 128) of token ids (n, 32)."""
        return F.normalize(self.text(tokens).text_embeds.float(), dim=-1)


def build_text_tower(tokenizer: Any) -> Any:
    """Build the CLIP text tower: 3 layers of 128, about 0.9M parameters."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, projection_dim=WIDTH, max_position_embeddings=MAX_TOKENS, hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return CLIPTextModelWithProjection(config)


def tokenise(tokenizer: Any, captions: list[str]) -> Tensor:
    """Give token ids (n, 32)."""
    batch = tokenizer(captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    ids: Tensor = batch.input_ids
    return ids


def to_pixels(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (n, h, w, 3) into float (n, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def jitter(pixels: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Shift, scale, mirror and tint pictures a little; what comes in from outside is white."""
    n = len(pixels)
    draw = torch.rand(n, 8, generator=generator) * 2 - 1
    scale = 1 + 0.15 * strength * draw[:, 0]
    flip = torch.where(draw[:, 1] > 0, 1.0, -1.0) if strength >= 1 else torch.ones(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, 0, 1], theta[:, 1, 0] = 0.12 * strength * draw[:, 2], -0.12 * strength * draw[:, 2]
    theta[:, :, 2] = 0.12 * strength * draw[:, 3:5]
    grid = F.affine_grid(theta.to(pixels.device), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels - 1, grid, align_corners=False) + 1
    tint = (0.08 * strength * draw[:, 5:8]).view(n, 3, 1, 1).to(pixels.device)
    return ((moved - 1) * (1 + tint) + 1).clamp(-1, 1)


@dataclass(frozen=True)
class Lesson:
    """The pictures a judge learns from or is examined on, with their things and styles by number."""

    pixels: Tensor
    things: Tensor
    styles: Tensor


def split(grid: Grid) -> tuple[Lesson, Lesson]:
    """Split the grid into what the judge may see and what is held out."""
    cells = [(t, s) for t in range(len(THINGS)) for s in range(len(STYLES)) if grid.present[t, s]]
    names = list(THINGS)
    kept = [not held_out(names[t], STYLES[s].name) for t, s in cells]
    return (
        _lesson(grid, [c for c, k in zip(cells, kept, strict=True) if k]),
        _lesson(grid, [c for c, k in zip(cells, kept, strict=True) if not k]),
    )


def _lesson(grid: Grid, cells: list[tuple[int, int]]) -> Lesson:
    t, s = (torch.tensor(column) for column in zip(*cells, strict=True))
    return Lesson(to_pixels(grid.pixels[t.numpy(), s.numpy()]), t, s)


def judge_loss(judge: Judge, tokenizer: Any, lesson: Lesson, generator: torch.Generator, batch: int) -> Tensor:
    """Sum the contrastive loss (arXiv 2103.00020) and the classifiers' losses on a random batch."""
    pick = torch.randint(len(lesson.pixels), (batch,), generator=generator)
    rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    pixels = jitter(lesson.pixels[pick], generator)
    pixels = pixels + 0.1 * torch.rand(1, generator=generator) * torch.randn(pixels.shape, generator=generator)
    things, styles = lesson.things[pick], lesson.styles[pick]
    captions, told = _captions(things.tolist(), styles.tolist(), rng)
    with torch.autocast("cpu", torch.bfloat16):
        features = judge.see(pixels)
        image = F.normalize(judge.project(features).float(), dim=-1)
        text = judge.read(tokenise(tokenizer, captions))
        logits = judge.scale.exp() * image @ text.T
        # A caption that tells no style fits all pictures of its thing.
        fits = (things[:, None] == things[None]) & ((styles[:, None] == styles[None]) | ~told[None])
        target = fits.float()
        loss = _soft(logits, target) + _soft(logits.T, target.T)
        loss = loss + F.cross_entropy(judge.thing(features).float(), things, label_smoothing=0.1)
        loss = loss + F.cross_entropy(judge.style(features).float(), styles, label_smoothing=0.1)
        return loss + F.cross_entropy(judge.text_thing(text).float(), things)


def _captions(things: list[int], styles: list[int], rng: random.Random) -> tuple[list[str], Tensor]:
    names, captions, told = list(THINGS), [], []
    for t, s in zip(things, styles, strict=True):
        style = rng.random() < 0.7
        caption = styled_caption(names[t], style_phrase(STYLES[s], rng), rng) if style else plain_caption(names[t], rng)
        captions.append(with_filler(caption, rng) if rng.random() < 0.2 else caption)
        told.append(style)
    return captions, torch.tensor(told)


def _soft(logits: Tensor, target: Tensor) -> Tensor:
    return -(logits.float().log_softmax(1) * target / target.sum(1, keepdim=True)).sum(1).mean()


@torch.no_grad()
def examine(judge: Judge, lesson: Lesson) -> dict[str, float]:
    """Score the classifiers on pictures: style and thing accuracy."""
    judge.eval()
    features = torch.cat([judge.see(chunk) for chunk in lesson.pixels.split(256)])
    ranks = judge.thing(features).argsort(1, descending=True)
    style = judge.style(features).argmax(1) == lesson.styles
    return {
        "style_acc": style.float().mean().item(),
        "thing_top1": (ranks[:, 0] == lesson.things).float().mean().item(),
        "thing_top5": (ranks[:, :5] == lesson.things[:, None]).any(1).float().mean().item(),
    }


def save_judge(judge: Judge, tokenizer: Any, folder: Path, facts: dict[str, float]) -> None:
    """Write the judge's weights in fp16, with its measured accuracies; the text tower travels in them too."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in judge.state_dict().items()}
    save_file(tensors, folder / "judge.safetensors")
    (folder / "judge.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    tokenizer.save_pretrained(folder / "tokenizer")


def load_judge(folder: Path) -> tuple[Judge, Any]:
    """Read the judge and its tokenizer."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    judge = Judge(build_text_tower(tokenizer))
    judge.load_state_dict(load_file(folder / "judge.safetensors"))
    return judge.eval(), tokenizer
