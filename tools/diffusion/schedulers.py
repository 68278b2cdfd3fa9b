"""The samplers by name: diffusers class, its options, and A1111's name. A new sampler is one more line.

The name ``base`` means the scheduler that the base was published with.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import diffusers

from stylus_gen.tools.errors import BadRequest


class Scheduler(NamedTuple):
    """A diffusers class name, its options, and A1111's name for it."""

    class_name: str
    options: dict[str, Any]
    label: str


SCHEDULERS: dict[str, Scheduler] = {
    "ddim": Scheduler("DDIMScheduler", {}, "DDIM"),
    "ddpm": Scheduler("DDPMScheduler", {}, "DDPM"),
    "pndm": Scheduler("PNDMScheduler", {"skip_prk_steps": True}, "PLMS"),
    "lms": Scheduler("LMSDiscreteScheduler", {}, "LMS"),
    "heun": Scheduler("HeunDiscreteScheduler", {}, "Heun"),
    "euler": Scheduler("EulerDiscreteScheduler", {}, "Euler"),
    "euler-a": Scheduler("EulerAncestralDiscreteScheduler", {}, "Euler a"),
    "dpm++2m": Scheduler("DPMSolverMultistepScheduler", {}, "DPM++ 2M"),
    "dpm++2m-karras": Scheduler("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, "DPM++ 2M Karras"),
    "unipc": Scheduler("UniPCMultistepScheduler", {}, "UniPC"),
    "lcm": Scheduler("LCMScheduler", {}, "LCM"),
}

_LABELS = {s.class_name: s.label for s in reversed(SCHEDULERS.values())}


def make_scheduler(published: Any, name: str) -> Any:
    """Make a fresh scheduler from the published one; the name ``base`` copies it.

    Raises BadRequest for an unknown name, and for one that does not fit the base (DDIM cannot draw with a flow model).
    """
    if name == "base":
        with quiet_numpy():
            return type(published).from_config(published.config)
    if name not in SCHEDULERS:
        raise BadRequest(f"unknown scheduler {name!r}: use one of base, {', '.join(SCHEDULERS)}", scheduler=name)
    class_name, options, _ = SCHEDULERS[name]
    if "beta_schedule" not in published.config:  # all of SCHEDULERS need one; flow models have none
        raise BadRequest(
            f"scheduler {name!r} does not fit this base, which uses {type(published).__name__}: use 'base'",
            scheduler=name,
        )
    with quiet_numpy():
        return getattr(diffusers, class_name).from_config(published.config, **options)


def label(scheduler: Any) -> str:
    """Give A1111's name for a scheduler, or its class name where A1111 has none."""
    karras = " Karras" if scheduler.config.get("use_karras_sigmas") else ""
    plain = _LABELS.get(type(scheduler).__name__, type(scheduler).__name__.removesuffix("Scheduler"))
    return plain.removesuffix(" Karras") + karras


@contextmanager
def quiet_numpy() -> Iterator[None]:
    """Silence one warning: diffusers passes torch tensors to numpy in a way that numpy 2 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
