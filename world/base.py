"""The base: a UNet on the autoencoder's latents, conditioned on the text tower of clip.py; and the pipeline.

It learns the things outside `things.UNSEEN`, in one style. Its captions also contain style words, fillers and nonsense,
which it learns to ignore: adapters draw what a prompt asks for beyond the thing.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylus_gen.world.captions import any_phrase, plain_caption, styled_caption, with_filler
from stylus_gen.world.clip import WIDTH, tokenise
from stylus_gen.world.vae import CHANNELS

DECLARATION = """{
 "family": "world",
 "defaults": {"steps": 12, "guidance": 2.0}
}
"""
DROPPED = 0.1  # share of empty captions, for classifier-free guidance (arXiv 2207.12598)


def build_unet(size: int) -> Any:
    """Build the UNet: 96 channels on latents, 192 with attention on half their side; 8M parameters."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=size // 4, in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=(96, 192),
        layers_per_block=1, cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def build_scheduler() -> Any:
    """Build the noise schedule: linear, to almost no signal, velocity prediction (arXiv 2202.00512)."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear", prediction_type="v_prediction",
        timestep_spacing="trailing", clip_sample=False,
    )  # fmt: skip


@dataclass(frozen=True)
class EncodedSet:
    """A diffusion model's training set: latents (n, 8, h, w), and ``texts`` (n, k, 32, 128), k captions each.

    ``empty`` (32, 128) is the empty caption.
    """

    latents: Tensor
    texts: Tensor
    empty: Tensor


@torch.no_grad()
def read_captions(text: Any, tokenizer: Any, captions: list[str]) -> Tensor:
    """Give the text tower's last hidden states (n, 32, 128), as the pipeline's text encoder does."""
    chunks = tokenise(tokenizer, captions).to(text.device).split(256)
    return torch.cat([text.text_model(chunk).last_hidden_state for chunk in chunks])


def base_captions(thing: str, count: int, rng: random.Random) -> list[str]:
    """Write captions of a thing in the base's style: half plain, half with words that the base must ignore."""
    captions = []
    for i in range(count):
        caption = plain_caption(thing, rng)
        if i % 4 == 1:
            caption = styled_caption(thing, any_phrase(rng), rng)
        captions.append(with_filler(caption, rng) if i % 4 >= 2 and rng.random() < 0.6 else caption)
    return captions


def diffusion_loss(
    unet: Any, scheduler: Any, encoded: EncodedSet, generator: torch.Generator, batch: int, weights: Any = None
) -> Tensor:
    """Compute the velocity loss on a random batch; ``weights``, if given, replace the UNet's own."""
    device = encoded.latents.device
    n, k = encoded.texts.shape[:2]
    pick = torch.randint(n, (batch,), generator=generator).to(device)
    which = torch.randint(k, (batch,), generator=generator).to(device)
    x = encoded.latents[pick]
    noise = torch.randn(x.shape, generator=generator).to(device)
    # Stratified over the batch: with so few samples, random times alone would make the loss noisy.
    times = ((torch.arange(batch) + torch.rand(batch, generator=generator)) / batch * 1000).long().to(device)
    dropped = (torch.rand(batch, generator=generator) < DROPPED).to(device)
    text = torch.where(dropped[:, None, None], encoded.empty, encoded.texts[pick, which])
    noisy, velocity = scheduler.add_noise(x, noise, times), scheduler.get_velocity(x, noise, times)
    with torch.autocast(device.type, torch.bfloat16):
        inputs = (noisy, times, text)
        guess = unet(*inputs) if weights is None else torch.func.functional_call(unet, weights, inputs)
        return F.mse_loss(guess.sample.float(), velocity)


def save_pipeline(text: Any, tokenizer: Any, vae: Any, unet: Any, folder: Path) -> None:
    """Write an ordinary fp16 `StableDiffusionPipeline` folder; the given modules are not changed."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    encoder = CLIPTextModel(text.config)
    state = {k.removeprefix("text_model."): v for k, v in text.state_dict().items() if "projection" not in k}
    encoder.load_state_dict(state)
    unet_copy, vae_copy = UNet2DConditionModel.from_config(unet.config), AutoencoderKL.from_config(vae.config)
    unet_copy.load_state_dict(unet.state_dict())
    vae_copy.load_state_dict(vae.state_dict())
    pipe = StableDiffusionPipeline(
        vae=vae_copy, text_encoder=encoder, tokenizer=tokenizer, unet=unet_copy, scheduler=build_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    (folder / "stylus.json").write_text(DECLARATION, "utf-8")
    for config in folder.rglob("*.json"):
        _forget_origin(config)


def _forget_origin(config: Path) -> None:
    """Remove the path that a module was loaded from: a folder on the training machine."""
    content = json.loads(config.read_text("utf-8"))
    if "_name_or_path" in content:
        del content["_name_or_path"]
        config.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
