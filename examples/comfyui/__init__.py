"""A ComfyUI node: your prompt in, the model with the right LoRAs out. Copy this folder into ComfyUI/custom_nodes.

ComfyUI's Python needs stylus-gen (README, "ComfyUI") and the catalogue that `stylus import ComfyUI/models/loras` made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths

from stylus_gen import Stylus


class StylusPlan:
    """Plan a prompt and patch the model and the text encoder with the adapters of the plan."""

    CATEGORY = "loaders"
    FUNCTION = "plan"
    RETURN_TYPES = ("MODEL", "CLIP", "STRING", "STRING")
    RETURN_NAMES = ("model", "clip", "prompt", "plan")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Describe the sockets and widgets."""
        return {
            "required": {
                "model": ("MODEL",),
                "clip": ("CLIP",),
                "prompt": ("STRING", {"multiline": True}),
                "family": (["sdxl", "sd15", "pony", "illustrious", "noobai", "sd3", "flux", "qwen", "zimage"],),
                "max_adapters": ("INT", {"default": 4, "min": 0, "max": 10}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1}),
            }
        }

    def plan(
        self, model: Any, clip: Any, prompt: str, family: str, max_adapters: int, seed: int
    ) -> tuple[Any, Any, str, str]:
        """Return the patched model and text encoder, the prompt with trigger words, and the plan as text."""
        with Stylus(family=family, installed_only=True) as stylus:
            plan = stylus.plan(prompt, max_adapters=max_adapters, seed=seed)
            report = "\n".join(stylus.explain(plan))
            for assignment in plan.assignments:
                name = Path(stylus.card(assignment.adapter_id).path or "").name
                path = folder_paths.get_full_path("loras", name)
                if path is None:
                    raise FileNotFoundError(
                        f"{name!r} was chosen and ComfyUI does not list it: add its folder to extra_model_paths.yaml"
                    )
                weights = comfy.utils.load_torch_file(path, safe_load=True)
                model, clip = comfy.sd.load_lora_for_models(model, clip, weights, assignment.weight, assignment.weight)
        return model, clip, plan.final_prompt, report


NODE_CLASS_MAPPINGS = {"StylusPlan": StylusPlan}
NODE_DISPLAY_NAME_MAPPINGS = {"StylusPlan": "Stylus: choose LoRAs"}
