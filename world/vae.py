"""The autoencoder: pictures of 32×32 to latents of 8×8×8 and back. An ordinary `AutoencoderKL`, 1.7M parameters."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylus_gen.world.augment import jitter, recolour

CHANNELS = 8  # of the latent
KL_WEIGHT = 1e-4
SLIP = 0.06  # noise on the latents, as a share of their standard deviation
EDGE_WEIGHT = 1.0
COLOUR_WEIGHT = 1.5  # without it green and purple are learnt last: brightness dominates L1


def build_vae(size: int) -> Any:
    """Build the autoencoder for pictures of ``size``; latents have a quarter of its side."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 64, 96), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, layers_per_block=1, latent_channels=CHANNELS,
        norm_num_groups=8, sample_size=size,
    )  # fmt: skip


def vae_loss(vae: Any, pixels: Tensor, generator: torch.Generator, batch: int) -> Tensor:
    """Sum L1 on pixels, L1 on their differences to the neighbours (edges), L1 on colour, and a weak KL."""
    pick = torch.randint(len(pixels), (batch,), generator=generator).to(pixels.device)
    x = recolour(jitter(pixels[pick], generator), generator)
    with torch.autocast(x.device.type, torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        # Sampled here, so that the noise comes from the step's own CPU generator.
        noise = torch.randn(posterior.mean.shape, generator=generator).to(x.device)
        y = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    loss: Tensor = _distance(y, x) + KL_WEIGHT * kl
    return loss


def _colours(y: Tensor, x: Tensor) -> Tensor:
    return F.l1_loss(y.diff(dim=1), x.diff(dim=1))


def decoder_loss(vae: Any, pixels: Tensor, generator: torch.Generator, batch: int) -> Tensor:
    """Compute the loss for the decoder alone, on slightly noisy latents like those of a diffusion model."""
    pick = torch.randint(len(pixels), (batch,), generator=generator).to(pixels.device)
    x = recolour(jitter(pixels[pick], generator, 0.4), generator)
    with torch.autocast(x.device.type, torch.bfloat16):
        with torch.no_grad():
            latents = vae.encode(x).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator).to(x.device)
        y = vae.decode(latents + SLIP * noise / vae.config.scaling_factor).sample.float()
    return _distance(y, x)


def _distance(y: Tensor, x: Tensor) -> Tensor:
    return F.l1_loss(y, x) + EDGE_WEIGHT * _edges(y, x) + COLOUR_WEIGHT * _colours(y, x)


def _edges(y: Tensor, x: Tensor) -> Tensor:
    return F.l1_loss(y.diff(dim=2), x.diff(dim=2)) + F.l1_loss(y.diff(dim=3), x.diff(dim=3))


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Give scaled latents (n, 8, h/4, w/4), the posterior's mean."""
    latents = torch.cat([vae.encode(chunk).latent_dist.mean for chunk in pixels.to(vae.device).split(64)])
    scaled: Tensor = latents * vae.config.scaling_factor
    return scaled


@torch.no_grad()
def decode_again(vae: Any, pixels: Tensor) -> Tensor:
    """Encode and decode pictures (n, 3, h, w)."""
    latents = encode(vae, pixels) / vae.config.scaling_factor
    return torch.cat([vae.decode(chunk).sample.clamp(-1, 1) for chunk in latents.split(64)])
