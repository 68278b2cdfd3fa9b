"""The modules of a base that adapters can change, under all the names that trainers use for them.

Dots and underscores compare as equal, because kohya's files write both as underscores. If two modules of a base then
have the same name, that name finds neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from stylus_gen.tools.lora.keys import DENOISER

COMPONENTS = ("unet", "transformer", "transformer_2", "text_encoder", "text_encoder_2", "text_encoder_3")


class Site(NamedTuple):
    """A module of the base: ``pipe.<component>.<module>``."""

    component: str
    module: str


class Sites:
    """All modules of one pipeline that have a weight. Holds references, no copies."""

    def __init__(self, pipe: Any) -> None:
        self.denoiser = "unet" if getattr(pipe, "unet", None) is not None else "transformer"
        self.modules: dict[Site, nn.Module] = {}
        self._names: dict[tuple[str, str], Site | None] = {}
        for component in COMPONENTS:
            model = getattr(pipe, component, None)
            if isinstance(model, nn.Module):
                self._add(component, model)

    def find(self, component: str, module: str) -> Site | None:
        """Find a module by any of its names; ``None`` if the base has no such module."""
        component = self.denoiser if component == DENOISER else component
        return self._names.get((component, _squash(module)))

    def weight(self, site: Site) -> Tensor:
        """Return a module's weight."""
        weight = self.modules[site].weight
        assert isinstance(weight, Tensor)  # _add checked it
        return weight

    def bias(self, site: Site) -> Tensor | None:
        """Return a module's bias, if it has one."""
        bias: Tensor | None = getattr(self.modules[site], "bias", None)
        return bias

    def _add(self, component: str, model: nn.Module) -> None:
        older = _ldm_names(model) if component == "unet" else {}
        for name, module in model.named_modules():
            if not isinstance(getattr(module, "weight", None), Tensor):
                continue
            site = Site(component, name)
            self.modules[site] = module
            for alias in _aliases(component, name, older):
                known = self._names.setdefault((component, alias), site)
                if known != site:
                    self._names[component, alias] = None


def _squash(name: str) -> str:
    return name.replace(".", "_")


def _aliases(component: str, name: str, older: Mapping[str, str]) -> Iterator[str]:
    plain = _squash(name)
    yield plain
    if name in older:
        yield older[name]
    if name.endswith("to_out.0"):
        yield plain.removesuffix("_0")  # diffusers' attention processors of 2023
    if component.startswith("text_encoder"):
        # transformers 5 removed the level "text_model" from CLIP; older files have it.
        yield plain.removeprefix("text_model_") if name.startswith("text_model.") else f"text_model_{plain}"


_RESNET = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}

_TOP = {
    "conv_in": "input_blocks_0_0",
    "time_embedding.linear_1": "time_embed_0",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
    "add_embedding.linear_2": "label_emb_0_2",
    "conv_norm_out": "out_0",
    "conv_out": "out_2",
}


def _ldm_names(unet: Any) -> dict[str, str]:
    """Map diffusers' module names to the original code's, which kohya's SDXL files use, with underscores for dots."""
    names = dict(_TOP)
    blocks = dict(_ldm_blocks(unet))
    for name, _ in unet.named_modules():
        block = next((b for b in blocks if name.startswith(f"{b}.") or name == b), None)
        if block is not None:
            inner = name[len(block) + 1 :]
            inner = _RESNET.get(inner, _squash(inner)) if ".resnets." in block else _squash(inner)
            names[name] = f"{blocks[block]}_{inner}" if inner else blocks[block]
    return names


def _ldm_blocks(unet: Any) -> Iterator[tuple[str, str]]:
    number = 1  # input_blocks_0 is conv_in
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            yield f"down_blocks.{i}.resnets.{j}", f"input_blocks_{number}_0"
            yield f"down_blocks.{i}.attentions.{j}", f"input_blocks_{number}_1"
            number += 1
        if getattr(block, "downsamplers", None):
            yield f"down_blocks.{i}.downsamplers.0.conv", f"input_blocks_{number}_0_op"
            number += 1
    yield from (("mid_block.resnets.0", "middle_block_0"), ("mid_block.attentions.0", "middle_block_1"))
    yield "mid_block.resnets.1", "middle_block_2"
    number = 0
    for i, block in enumerate(unet.up_blocks):
        attends = bool(getattr(block, "attentions", None))
        for j in range(len(block.resnets)):
            yield f"up_blocks.{i}.resnets.{j}", f"output_blocks_{number}_0"
            yield f"up_blocks.{i}.attentions.{j}", f"output_blocks_{number}_1"
            number += 1
        if getattr(block, "upsamplers", None):
            yield f"up_blocks.{i}.upsamplers.0.conv", f"output_blocks_{number - 1}_{1 + attends}_conv"
