"""LoRA on the frozen base: arXiv 2106.09685, on attention, feed-forward and convolutions (LoCon).

Training runs on merged weights, ``W + B·A``: one more matrix product a layer and step, no second path through the
network. Files are written in the two common formats: kohya's and peft's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Form = Literal["kohya", "peft"]

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "net.0.proj", "net.2", "conv1", "conv2")


class Lora(nn.Module):
    """The two factors for every target: ``A`` (rank, in…) and ``B`` (out, rank)."""

    def __init__(self, unet: nn.Module, rank: int, seed: int) -> None:
        super().__init__()
        self.rank = rank
        generator = torch.Generator().manual_seed(seed)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, module in targets(unet):
            weight: Any = module.weight
            fan_in = weight[0].numel()
            start = torch.randn(rank, fan_in, generator=generator) / fan_in**0.5
            self.down[_slot(name)] = nn.Parameter(start.to(weight.device))
            self.up[_slot(name)] = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))

    def merged(self, unet: nn.Module, scale: float = 1.0) -> dict[str, Tensor]:
        """Give the base's target weights with this adapter added, by parameter name."""
        weights: dict[str, Tensor] = {}
        for name, module in targets(unet):
            weight: Any = module.weight
            delta = (self.up[_slot(name)] @ self.down[_slot(name)]).view(weight.shape)
            weights[f"{name}.weight"] = weight.detach() + scale * delta
        return weights

    @torch.no_grad()
    def shrunk(self, unet: nn.Module, rank: int) -> Lora:
        """Give the closest adapter of a lower rank, by singular values, to start its training from."""
        small = Lora(unet, rank, 0)
        for slot in self.up:
            u, s, v = torch.linalg.svd(self.up[slot] @ self.down[slot], full_matrices=False)
            root = s[:rank].sqrt()
            small.up[slot].copy_(u[:, :rank] * root)
            small.down[slot].copy_(root[:, None] * v[:rank])
        return small


def targets(unet: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the modules that adapters change."""
    return [(n, m) for n, m in unet.named_modules() if n.endswith(TARGETS) and isinstance(m, nn.Linear | nn.Conv2d)]


def _slot(name: str) -> str:
    return name.replace(".", "/")  # ParameterDict refuses dots


def write_lora(lora: Lora, unet: nn.Module, path: Path, form: Form, metadata: dict[str, str]) -> None:
    """Write an adapter file in fp16; kohya's has ``alpha`` (half the rank, the most common choice), peft's none."""
    tensors: dict[str, Tensor] = {}
    for name, module in targets(unet):
        weight: Any = module.weight
        a, b = lora.down[_slot(name)].detach(), lora.up[_slot(name)].detach()
        if weight.dim() == 4:
            a, b = a.view(lora.rank, *weight.shape[1:]), b[:, :, None, None]
        if form == "kohya":
            stem = f"lora_unet_{name.replace('.', '_')}"
            tensors[f"{stem}.lora_down.weight"] = a
            tensors[f"{stem}.lora_up.weight"] = b * 2
            tensors[f"{stem}.alpha"] = torch.tensor(lora.rank / 2)
        else:
            tensors[f"unet.{name}.lora_A.weight"] = a
            tensors[f"unet.{name}.lora_B.weight"] = b
    save_file({k: v.half().contiguous().cpu() for k, v in tensors.items()}, path, metadata)


def header_metadata(title: str, captions: list[str], rank: int, form: Form, extra: dict[str, str]) -> dict[str, str]:
    """Make a header like those of trainers: architecture, base, tag frequencies."""
    tags: dict[str, int] = {}
    for caption in captions:
        for tag in caption.split(", "):
            tags[tag.strip()] = tags.get(tag.strip(), 0) + 1
    common = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stylus-world/lora",
        "modelspec.title": title,
        "ss_base_model_version": "stylus-world",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank / 2 if form == "kohya" else rank),
        "ss_tag_frequency": json.dumps({"1_pictures": dict(sorted(tags.items(), key=lambda kv: -kv[1])[:30])}),
        **extra,
    }
    return common if form == "kohya" else {"format": "pt", **common}
