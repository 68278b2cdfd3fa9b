"""Choose the device and the dtype, each with its reason."""

from __future__ import annotations

import torch

from stylus_gen.tools.errors import BadRequest, Unavailable

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def choose_device(asked: str | None) -> tuple[str, str]:
    """Choose where to compute, and say why."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked is None:
        found = "cuda" if cuda else "mps" if mps else "cpu"
        return found, "the fastest that is there" if found != "cpu" else "no GPU is there"
    kind = asked.split(":")[0]
    number = asked.partition(":")[2] or "0"
    there = {
        "cpu": True,
        "cuda": cuda and number.isdigit() and int(number) < torch.cuda.device_count(),
        "mps": mps,
    }
    if kind not in there:
        raise BadRequest(f"device {asked!r} is none of cpu, cuda, cuda:N, mps", device=asked)
    if not there[kind]:
        raise Unavailable(f"device {asked!r} is not on this machine: leave it out, or use 'cpu'", device=asked)
    return asked, "as asked"


def choose_dtype(asked: str | None, device: str, *, has_unet: bool) -> tuple[str, str]:
    """Choose the precision, and say why."""
    if asked is not None:
        name = _SHORT.get(asked, asked)
        if name not in DTYPES:
            raise BadRequest(f"dtype {asked!r} is none of {', '.join(DTYPES)}", dtype=asked)
        return name, "as asked"
    if device == "cpu":
        return "float32", "a CPU is no faster in half precision"
    if has_unet:
        return "float16", "UNets are published in it, and merged adapters lose less than in bfloat16"
    return "bfloat16", "transformers overflow in float16"
