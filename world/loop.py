"""The training loop for every model: AdamW, warm-up and cosine, averaged weights, checkpoints to resume from.

Each step's random numbers come from the seed and the step's number, so an interrupted and resumed run draws the same
numbers as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylus_gen.tools.progress import Progress

CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Schedule:
    """Steps, peak learning rate, weight decay, half-life of the average in steps, and warm-up in steps."""

    steps: int
    rate: float
    decay: float = 0.01
    average: float = 0.0
    warm_up: int = 50


def fit(
    model: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Path | None,
    progress: Progress,
    label: str,
) -> float:
    """Train the model's free parameters in place and leave their average in it. Return the recent mean loss."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(weights.values(), schedule.rate, (0.9, 0.99), weight_decay=schedule.decay)
    average = {name: p.detach().clone() for name, p in weights.items()}
    start = _resume(checkpoint, model, average, optimiser)
    loss_mean, saved_at = 0.0, time.monotonic()
    for step in range(start, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * _pace(step, schedule)
        loss = loss_of(torch.Generator().manual_seed(seed * 1_000_003 + step))
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        _follow(average, weights, step, schedule)
        loss_mean += (loss.item() - loss_mean) / min(step - start + 1, 100)
        if step % 20 == 19 or step + 1 == schedule.steps:
            progress(step + 1, schedule.steps, f"{label}: loss {loss_mean:.4f}")
        if checkpoint and time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            _save(checkpoint, step + 1, model, average, optimiser)
            saved_at = time.monotonic()
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(average[name])
    return loss_mean


def _pace(step: int, schedule: Schedule) -> float:
    if step < schedule.warm_up:
        return (step + 1) / schedule.warm_up
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / schedule.steps))


@torch.no_grad()
def _follow(average: dict[str, Tensor], weights: dict[str, nn.Parameter], step: int, schedule: Schedule) -> None:
    # The ramp keeps the random first weights out of the average: Karras et al. 2022, arXiv 2206.00364, §F.2.
    keep = 0.0
    if schedule.average:
        keep = 0.5 ** (1 / min(schedule.average, (step + 1) * 0.1 + 1e-6))
    torch._foreach_lerp_(list(average.values()), [p.detach() for p in weights.values()], 1 - keep)


def _save(
    path: Path, step: int, model: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer
) -> None:
    tensors = {f"model.{k}": v.contiguous().clone() for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"step": str(step)})
    partial.replace(path)


def _resume(path: Path | None, model: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.AdamW) -> int:
    """Load a checkpoint if there is one and return the step to continue from."""
    if path is None or not path.is_file():
        return 0
    tensors = load_file(path)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for name in average:
        average[name].copy_(tensors[f"average.{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, i, field = key.split(".")
            state.setdefault(int(i), {})[field] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(max((s["step"].item() for s in state.values()), default=0))
