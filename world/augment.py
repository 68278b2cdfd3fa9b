"""Turn pictures into tensors, and augment them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


def to_pixels(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (n, h, w, 3) into float (n, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def jitter(pixels: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Shift, scale, mirror and tint pictures a little; the area outside a picture is white."""
    n = len(pixels)
    draw = torch.rand(n, 8, generator=generator).to(pixels.device) * 2 - 1
    scale = 1 + 0.15 * strength * draw[:, 0]
    flip = torch.where(draw[:, 1] > 0, 1.0, -1.0) if strength >= 1 else torch.ones_like(scale)
    theta = torch.zeros(n, 2, 3, device=pixels.device)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, 0, 1], theta[:, 1, 0] = 0.12 * strength * draw[:, 2], -0.12 * strength * draw[:, 2]
    theta[:, :, 2] = 0.12 * strength * draw[:, 3:5]
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels - 1, grid, align_corners=False) + 1
    tint = (0.08 * strength * draw[:, 5:8]).view(n, 3, 1, 1)
    return ((moved - 1) * (1 + tint) + 1).clamp(-1, 1)


def nudge(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move all by up to two pixels; edges stay sharp and colours unchanged."""
    n, _, height, width = pixels.shape
    mirrored = (torch.rand(n, generator=generator) < 0.5).to(pixels.device)
    y, x = torch.randint(5, (2,), generator=generator).tolist()
    padded = F.pad(torch.where(mirrored.view(n, 1, 1, 1), pixels.flip(3), pixels), (2, 2, 2, 2), value=1.0)
    return padded[:, :, y : y + height, x : x + width]


def recolour(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Give 30 % of the pictures another background, half of them with reversed channels: adapters need both."""
    n = len(pixels)
    draw = torch.rand(n, 5, generator=generator).to(pixels.device)
    paper = draw[:, 1:4].view(n, 3, 1, 1) * 2 - 1
    tinted = torch.where((pixels > 0.97).all(1, keepdim=True), paper, pixels)
    tinted = torch.where((draw[:, 4] < 0.5).view(n, 1, 1, 1), tinted, tinted.flip(1))
    return torch.where((draw[:, 0] < 0.3).view(n, 1, 1, 1), tinted, pixels)


def scramble(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Shuffle, remove or invert colours, so that a thing is recognised in every style."""
    n = len(pixels)
    draw = torch.rand(n, 3, generator=generator).to(pixels.device)
    order = torch.rand(n, 3, generator=generator).argsort(1).to(pixels.device)
    shuffled = pixels.gather(1, order[:, :, None, None].expand_as(pixels))
    changed = torch.where((draw[:, 0] < 0.4).view(n, 1, 1, 1), shuffled, pixels)
    grey = changed.mean(1, keepdim=True).expand_as(changed)
    changed = torch.where((draw[:, 1] < 0.3).view(n, 1, 1, 1), grey, changed)
    return torch.where((draw[:, 2] < 0.15).view(n, 1, 1, 1), -changed, changed)
