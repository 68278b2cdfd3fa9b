"""The pipeline: one base model, loaded on one device and ready to draw. Only `load_base` loads weights.

safetensors only; code that comes with a model is never run. draw.py draws.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers import DiffusionPipeline
from safetensors import SafetensorError

from stylus_gen.tools.diffusion.apply import AdapterRuntime
from stylus_gen.tools.diffusion.base import base_family, declaration, missing_base
from stylus_gen.tools.diffusion.device import DTYPES, choose_device, choose_dtype
from stylus_gen.tools.diffusion.fingerprint import fingerprint_base
from stylus_gen.tools.diffusion.schedulers import quiet_numpy
from stylus_gen.tools.diffusion.settings import RenderSettings, base_defaults
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.families import Family
from stylus_gen.tools.lora.adapter import read_adapter
from stylus_gen.tools.lora.cache import AdapterCache
from stylus_gen.tools.lora.conversion import name_converter
from stylus_gen.tools.progress import Progress, silent

SMALL = 50_000_000
"""Parameters. On a CPU, the threads of a smaller denoiser wait for each other longer than they work: on two busy cores
three pictures of the small world took 90 s with two threads and 5 s with one."""


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A base model ready to draw.

    ``base`` is its name (never a path). ``why`` gives the reasons for family, device and dtype. ``scheduler`` is the
    one that the base was published with. Hold ``lock`` while changing the weights or drawing.
    """

    pipe: Any
    base: str
    fingerprint: str
    family: Family
    device: str
    dtype: str
    why: Mapping[str, str]
    defaults: RenderSettings
    scheduler: Any
    runtime: AdapterRuntime
    cache: AdapterCache
    lock: threading.RLock

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the published base on leaving, also after an error."""
        try:
            yield
        finally:
            self.runtime.restore()
            self.pipe.scheduler = self.scheduler


def load_base(
    base: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    family: Family | None = None,
    progress: Progress = silent,
) -> Pipeline:
    """Load a base from a diffusers folder or a hub id.

    Defaults: the fastest device (CUDA, MPS, CPU), half precision on a GPU, the family that the configuration shows.
    Raises Unavailable where the base or the device is missing, BadRequest for an unknown dtype or device.
    """
    progress(0, 3, f"finding {Path(base).name}")
    seen, family_reason = base_family(base)
    family, family_reason = (family, f"as asked ({family_reason})") if family else (seen, family_reason)
    device, device_reason = choose_device(device)
    folder = _find(base)
    dtype, dtype_reason = choose_dtype(dtype, device, has_unet=(folder / "unet").is_dir())
    progress(1, 3, f"loading {Path(base).name}")
    pipe = _load(base, folder, DTYPES[dtype])
    progress(2, 3, f"moving {Path(base).name} to {device}")
    pipe.to(device)
    if device == "cpu" and _parameters(pipe) < SMALL:
        torch.set_num_threads(1)
    pipe.set_progress_bar_config(disable=True)
    runtime = AdapterRuntime(pipe)
    read = partial(read_adapter, sites=runtime.sites, base=family, convert=name_converter(pipe))
    pipeline = Pipeline(
        pipe=pipe,
        base=folder.resolve().name if Path(base).expanduser().is_dir() else base,
        fingerprint=fingerprint_base(folder),
        family=family,
        device=device,
        dtype=dtype,
        why={"family": family_reason, "device": device_reason, "dtype": dtype_reason},
        defaults=declaration(str(folder)).defaults.over(base_defaults(pipe, family)),
        scheduler=pipe.scheduler,
        runtime=runtime,
        cache=AdapterCache(read),
        lock=threading.RLock(),
    )
    progress(3, 3, f"{pipeline.base} is ready on {device}")
    return pipeline


def _find(base: str) -> Path:
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder
    try:
        with _silent_bars():
            return Path(DiffusionPipeline.download(base, use_safetensors=True))
    except (OSError, ValueError) as error:
        raise missing_base(base) from error


def _load(base: str, folder: Path, dtype: torch.dtype) -> Any:
    try:
        with _silent_bars(), quiet_numpy():
            return DiffusionPipeline.from_pretrained(str(folder), dtype=dtype, use_safetensors=True)
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:300]
        raise Unavailable(
            f"the base {base!r} cannot be loaded ({why}): give a complete diffusers folder with safetensors weights",
            base=base,
        ) from error


def _parameters(pipe: Any) -> int:
    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    return denoiser.num_parameters() if denoiser is not None else SMALL


@contextmanager
def _silent_bars() -> Iterator[None]:
    """Switch off the libraries' progress bars, and their warnings about packages that we do not need."""
    bars = [m for m in (diffusers.utils.logging, transformers.utils.logging) if m.is_progress_bar_enabled()]
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    for module in bars:
        module.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)
        for module in bars:
            module.enable_progress_bar()
