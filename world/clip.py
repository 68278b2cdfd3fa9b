"""A small CLIP. Its text tower becomes the text encoder of the base and of the judge.

Its image tower only serves to train the text tower. It never sees the pictures that `things.held_out` names.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylus_gen.world.augment import jitter, to_pixels
from stylus_gen.world.captions import MAX_TOKENS, plain_caption, style_phrase, styled_caption, with_filler
from stylus_gen.world.pictures import Grid
from stylus_gen.world.things import STYLES, THINGS, held_out

WIDTH = 128  # of the text tower and of the shared space
FEATURES = 256


class Block(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1, stride) if c_in != c_out or stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, h / stride, w / stride)."""
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.skip(x))


class Clip(nn.Module):
    """Image tower (conv), text tower (CLIP), one shared space; classifiers on the features of both."""

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), Block(32, 64, 2), Block(64, 128, 2), Block(128, FEATURES, 2)
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


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures for training or evaluation, with the numbers of their things and styles."""

    pixels: Tensor
    things: Tensor
    styles: Tensor

    def to(self, device: str) -> LabelledPictures:
        """Copy the tensors to a device."""
        return LabelledPictures(self.pixels.to(device), self.things.to(device), self.styles.to(device))


def split(grid: Grid) -> tuple[LabelledPictures, LabelledPictures]:
    """Split the grid into pictures for training and held-out ones."""
    cells = [(t, s) for t in range(len(THINGS)) for s in range(len(STYLES)) if grid.present[t, s]]
    names = list(THINGS)
    kept = [not held_out(names[t], STYLES[s].name) for t, s in cells]
    return (
        _labelled(grid, [c for c, k in zip(cells, kept, strict=True) if k]),
        _labelled(grid, [c for c, k in zip(cells, kept, strict=True) if not k]),
    )


def _labelled(grid: Grid, cells: list[tuple[int, int]]) -> LabelledPictures:
    t, s = (torch.tensor(column) for column in zip(*cells, strict=True))
    return LabelledPictures(to_pixels(grid.pixels[t.numpy(), s.numpy()]), t, s)


def clip_loss(clip: Clip, tokenizer: Any, pictures: LabelledPictures, generator: torch.Generator, batch: int) -> Tensor:
    """Sum the contrastive loss (arXiv 2103.00020) and the classifiers' losses on a random batch."""
    device = pictures.pixels.device
    pick = torch.randint(len(pictures.pixels), (batch,), generator=generator).to(device)
    rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    pixels = jitter(pictures.pixels[pick], generator)
    strength = 0.1 * float(torch.rand(1, generator=generator))
    pixels = pixels + strength * torch.randn(pixels.shape, generator=generator).to(device)
    things, styles = pictures.things[pick], pictures.styles[pick]
    captions, styled = _captions(things.tolist(), styles.tolist(), rng)
    styled = styled.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        features = clip.see(pixels)
        image = F.normalize(clip.project(features).float(), dim=-1)
        text = clip.read(tokenise(tokenizer, captions).to(device))
        logits = clip.scale.exp() * image @ text.T
        loss = contrastive_loss(logits, things, styles, styled)
        loss = loss + F.cross_entropy(clip.thing(features).float(), things, label_smoothing=0.1)
        loss = loss + F.cross_entropy(clip.style(features).float(), styles, label_smoothing=0.1)
        return loss + F.cross_entropy(clip.text_thing(text).float(), things)


def _captions(things: list[int], styles: list[int], rng: random.Random) -> tuple[list[str], Tensor]:
    names, captions, styled = list(THINGS), [], []
    for t, s in zip(things, styles, strict=True):
        style = rng.random() < 0.7
        caption = styled_caption(names[t], style_phrase(STYLES[s], rng), rng) if style else plain_caption(names[t], rng)
        captions.append(with_filler(caption, rng) if rng.random() < 0.2 else caption)
        styled.append(style)
    return captions, torch.tensor(styled)


def contrastive_loss(logits: Tensor, things: Tensor, styles: Tensor, styled: Tensor) -> Tensor:
    """Compare logits (pictures, captions) with which caption fits which picture, in both directions.

    A caption that names no style (``styled`` false) fits all pictures of its thing.
    """
    fits = (things[:, None] == things[None]) & ((styles[:, None] == styles[None]) | ~styled[None])
    target = fits.float()
    return _soft_cross_entropy(logits, target) + _soft_cross_entropy(logits.T, target.T)


def _soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(logits.float().log_softmax(1) * target / target.sum(1, keepdim=True)).sum(1).mean()


@torch.no_grad()
def evaluate_clip(clip: Clip, pictures: LabelledPictures) -> dict[str, float]:
    """Score the classifiers on pictures: style and thing accuracy."""
    clip.eval()
    features = torch.cat([clip.see(chunk) for chunk in pictures.pixels.split(256)])
    ranks = clip.thing(features).argsort(1, descending=True)
    style = clip.style(features).argmax(1) == pictures.styles
    return {
        "style_acc": style.float().mean().item(),
        "thing_top1": (ranks[:, 0] == pictures.things).float().mean().item(),
        "thing_top5": (ranks[:, :5] == pictures.things[:, None]).any(1).float().mean().item(),
    }


def save_clip(clip: Clip, tokenizer: Any, folder: Path, facts: dict[str, float]) -> None:
    """Write the weights in fp16, text tower included, and the measured accuracies."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in clip.state_dict().items()}
    save_file(tensors, folder / "clip.safetensors")
    (folder / "clip.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    tokenizer.save_pretrained(folder / "tokenizer")


def load_clip(folder: Path) -> tuple[Clip, Any]:
    """Read the towers and the tokenizer."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    clip = Clip(build_text_tower(tokenizer))
    clip.load_state_dict(load_file(folder / "clip.safetensors"))
    return clip.eval(), tokenizer
