"""The judge: classifiers for thing and style, and a CLIP score against the frozen text tower.

It has two image towers, because they must not learn the same. One learns things from pictures with scrambled colours.
The other learns styles from palettes and edges, on many more icons than the world's things. Neither has seen the
pictures that `things.held_out` names.
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

from stylus_gen.world.augment import jitter, nudge, scramble, to_pixels
from stylus_gen.world.captions import plain_caption, style_phrase, styled_caption
from stylus_gen.world.clip import WIDTH, Block, LabelledPictures, build_text_tower, contrastive_loss, tokenise
from stylus_gen.world.evaluation import Question
from stylus_gen.world.pictures import Grid
from stylus_gen.world.things import BASE_STYLE, STYLES, THINGS

CAPTIONS = 4


class Judge(nn.Module):
    """Two image towers, two classifiers, one space shared with the text tower."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        self.text = text
        self.thing_tower = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), Block(32, 64, 2), Block(64, 128, 2), Block(128, 256, 2)
        )
        self.style_tower = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), Block(32, 48, 2), Block(48, 96, 2), Block(96, 128, 2)
        )
        self.thing = nn.Linear(256, len(THINGS))
        self.style = nn.Linear(128, len(STYLES))
        self.project = nn.Linear(256 + 128, WIDTH)
        self.scale = nn.Parameter(torch.tensor(2.5))

    def things(self, pixels: Tensor) -> Tensor:
        """Give thing features (n, 256) of pixels (n, 3, h, w) in [-1, 1]."""
        features: Tensor = self.thing_tower(pixels).mean((2, 3))
        return features

    def styles(self, pixels: Tensor) -> Tensor:
        """Give style features (n, 128) of the same."""
        features: Tensor = self.style_tower(pixels).mean((2, 3))
        return features

    def embed(self, things: Tensor, styles: Tensor) -> Tensor:
        """Give unit vectors (n, 128) in the space of captions."""
        return F.normalize(self.project(torch.cat([things, styles], 1)).float(), dim=-1)

    @torch.no_grad()
    def read(self, tokenizer: Any, captions: list[str]) -> Tensor:
        """Give unit vectors (n, 128) of captions."""
        chunks = tokenise(tokenizer, captions).to(self.project.weight.device).split(256)
        return F.normalize(torch.cat([self.text(chunk).text_embeds for chunk in chunks]).float(), dim=-1)


@dataclass(frozen=True)
class Pictures:
    """True pictures, the same pictures after the autoencoder, and the numbers of their styles."""

    true: Tensor
    decoded: Tensor
    styles: Tensor

    def blend(self, pick: Tensor, generator: torch.Generator) -> Tensor:
        """Give the picked pictures, half of them blended with their decoded form: a base's pictures are decoded too."""
        share = torch.rand(len(pick), 2, generator=generator).to(pick.device)
        way = torch.where(share[:, 0] < 0.5, share[:, 1], 0.0).view(-1, 1, 1, 1)
        return torch.lerp(self.true[pick], self.decoded[pick], way)


@dataclass(frozen=True)
class JudgeTrainingSet:
    """The judge's training set: the grid's pictures with the numbers of their things, ``more`` icons with styles only.

    ``captions`` (things, styles + 1, 4, 128) are caption vectors; the last column is for captions without a style.
    """

    grid: Pictures
    things: Tensor
    more: Pictures
    captions: Tensor

    def pick_more(self, batch: int, generator: torch.Generator) -> Tensor:
        """Pick other icons, every style equally often."""
        weights = 1 / self.more.styles.bincount().float()[self.more.styles]
        return torch.multinomial(weights.cpu(), batch, generator=generator).to(weights.device)


def caption_table(judge: Judge, tokenizer: Any, seed: int) -> Tensor:
    """Embed `CAPTIONS` captions of every thing in every style, and without a style."""
    rng = random.Random(seed)
    captions = [
        styled_caption(thing, style_phrase(style, rng), rng) if style else plain_caption(thing, rng)
        for thing in THINGS
        for style in (*STYLES, None)
        for _ in range(CAPTIONS)
    ]
    return judge.read(tokenizer, captions).view(len(THINGS), len(STYLES) + 1, CAPTIONS, WIDTH)


def judge_loss(judge: Judge, data: JudgeTrainingSet, generator: torch.Generator, batch: int) -> Tensor:
    """Sum the classifiers' losses and the contrastive one (arXiv 2103.00020) on a random batch."""
    device = data.things.device
    pick = torch.randint(len(data.things), (batch,), generator=generator).to(device)
    other = data.pick_more(batch, generator)
    things, styles = data.things[pick], data.grid.styles[pick]
    pictures = data.grid.blend(pick, generator)
    # Palettes and edges identify styles, so these pictures are moved but neither tinted nor turned.
    faint = nudge(torch.cat([pictures, data.more.blend(other, generator)]), generator)
    faint = faint + 0.02 * torch.randn(faint.shape, generator=generator).to(device)
    strong = scramble(jitter(pictures, generator, 1.3), generator)
    strong = strong + _noise(strong, generator)
    styled = (torch.rand(batch, generator=generator) < 0.7).to(device)
    which = torch.randint(CAPTIONS, (batch,), generator=generator).to(device)
    text = data.captions[things, torch.where(styled, styles, len(STYLES)), which]
    with torch.autocast(device.type, torch.bfloat16):
        seen, look = judge.things(strong), judge.styles(faint)
        image = judge.embed(F.dropout(seen, 0.2), look[:batch])
        logits = (judge.scale.exp() * image.float() @ text.T).float()
        loss = contrastive_loss(logits, things, styles, styled)
        loss = loss + F.cross_entropy(judge.thing(F.dropout(seen, 0.2)).float(), things, label_smoothing=0.1)
        truth = torch.cat([styles, data.more.styles[other]])
        return loss + F.cross_entropy(judge.style(F.dropout(look, 0.2)).float(), truth, label_smoothing=0.05)


def _noise(pixels: Tensor, generator: torch.Generator) -> Tensor:
    strength = 0.1 * float(torch.rand(1, generator=generator))
    return strength * torch.randn(pixels.shape, generator=generator).to(pixels.device)


@torch.no_grad()
def evaluate_judge(judge: Judge, pictures: LabelledPictures) -> dict[str, float]:
    """Score the classifiers on pictures: style and thing accuracy."""
    judge.eval()
    ranks = torch.cat([judge.thing(judge.things(chunk)) for chunk in pictures.pixels.split(256)]).argsort(1)
    styles = torch.cat([judge.style(judge.styles(chunk)) for chunk in pictures.pixels.split(256)]).argmax(1)
    return {
        "style_acc": (styles == pictures.styles).float().mean().item(),
        "thing_top1": (ranks[:, -1] == pictures.things).float().mean().item(),
        "thing_top5": (ranks[:, -5:] == pictures.things[:, None]).any(1).float().mean().item(),
    }


def save_judge(judge: Judge, tokenizer: Any, folder: Path, facts: dict[str, float]) -> None:
    """Write the judge's weights in fp16, text tower included, and its measured accuracies."""
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


@dataclass(frozen=True)
class Truth:
    """The judge's vectors of the true pictures, by (thing, style). The pictures themselves are not shipped."""

    vectors: dict[tuple[str, str], Tensor]

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """List the pairs that have a picture."""
        return frozenset(self.vectors)

    def vector(self, question: Question) -> npt.NDArray[np.float32]:
        """Give the vector of the picture that a question asks for, in the base's style where it names none."""
        found: npt.NDArray[np.float32] = self.vectors[question.thing, question.style or BASE_STYLE].float().numpy()
        return found


@torch.no_grad()
def save_truth(judge: Judge, grid: Grid, folder: Path) -> None:
    """Write the judge's vectors of all pictures of the grid."""
    tensors = {}
    for t, thing in enumerate(THINGS):
        pixels = to_pixels(grid.pixels[t])
        vectors = judge.embed(judge.things(pixels), judge.styles(pixels))
        for s, style in enumerate(STYLES):
            if grid.present[t, s]:
                tensors[f"{thing}/{style.name}"] = vectors[s].half()
    save_file(tensors, folder / "truth.safetensors")


def load_truth(folder: Path) -> tuple[Truth, dict[str, float]]:
    """Read the vectors of the true pictures, and the judge's own accuracies on held-out ones."""
    tensors = load_file(folder / "truth.safetensors")
    facts: dict[str, float] = json.loads((folder / "judge.json").read_text("utf-8"))
    return Truth({(k.split("/")[0], k.split("/")[1]): v for k, v in tensors.items()}), facts
