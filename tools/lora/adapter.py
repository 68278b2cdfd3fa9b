"""One adapter file, read and bound to a base: which tensors change which weights.

A file is accepted whole or refused: AdapterRejected if it does not fit, is damaged, or has an unknown form. The one
exception: modules that this base does not have are counted (`Adapter.unmatched`), up to half of the file.
Reading changes no model: tools/diffusion/apply.py does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.families import Family
from stylus_gen.tools.lora.alphas import read_alphas
from stylus_gen.tools.lora.binding import Target, bind_modules, make_patches, misfit
from stylus_gen.tools.lora.contents import require_adapter
from stylus_gen.tools.lora.conversion import Convert, Tensors
from stylus_gen.tools.lora.family import sniff_family
from stylus_gen.tools.lora.header import read_header
from stylus_gen.tools.lora.keys import parse_key
from stylus_gen.tools.lora.patch import Patch
from stylus_gen.tools.lora.sites import Sites


@dataclass(frozen=True, eq=False)
class Adapter:
    """A file's patches, by the parameter they change.

    ``sha256`` hashes the whole file, ``autov3`` (A1111's, 12 hex digits) only its tensors; ``size`` is in bytes.
    ``matched`` counts the modules it changes, ``unmatched`` names those that the base does not have.
    """

    file_name: str
    sha256: str
    autov3: str
    family: Family
    family_reason: str
    patches: Mapping[Target, Patch]
    matched: int
    unmatched: tuple[str, ...]
    size: int


def read_adapter(path: Path, sites: Sites, *, base: Family, convert: Convert | None = None) -> Adapter:
    """Read a safetensors file and bind it to a base of family ``base``, whose modules are ``sites``.

    Raises AdapterRejected for an invalid safetensors file, NaN or infinite weights, an unknown form, sizes that differ
    from the base's, or if the base has no more than half of its modules.
    """
    header = read_header(path.resolve())
    require_adapter(header, path)
    family, reason = sniff_family(header)
    data = path.read_bytes()
    tensors = _load(data)
    bound, unmatched = bind_modules(_group(tensors), sites)
    if convert is not None and unmatched:
        bound, unmatched = bind_modules(_group(convert(tensors)), sites)
    if len(bound) <= len(unmatched):
        which = f"not, for example, {unmatched[0]!r}" if unmatched else "the file names none"
        raise misfit(family, base, f"{len(bound)} of its {len(bound) + len(unmatched)} modules exist there; {which}")
    return Adapter(
        file_name=path.name.encode(errors="replace").decode(),
        sha256=hashlib.sha256(data).hexdigest(),
        autov3=hashlib.sha256(memoryview(data)[8 + int.from_bytes(data[:8], "little") :]).hexdigest()[:12],
        family=family,
        family_reason=reason,
        patches=make_patches(bound, sites, read_alphas(header.metadata), family, base),
        matched=len(bound),
        unmatched=unmatched,
        size=len(data),
    )


def _load(data: bytes) -> Tensors:
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise _broken(f"it is not a valid safetensors file ({error}): download it again") from error
    for name, tensor in tensors.items():
        if tensor.element_size() == 1:  # torch has no arithmetic for 8-bit floats
            tensors[name] = tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise _broken(f"it holds NaN or infinite weights (in {name!r}): its training failed, do not use it")
    return tensors


def _group(tensors: Tensors) -> dict[tuple[str, str], Tensors]:
    grouped: dict[tuple[str, str], Tensors] = {}
    for name, tensor in tensors.items():
        key = parse_key(name)
        if key is None:
            raise _broken(f"it holds {name!r}, which is no form of adapter that Stylus can apply")
        grouped.setdefault((key.component, key.module), {})[key.part] = tensor
    return grouped


def _broken(why: str) -> AdapterRejected:
    return AdapterRejected(why, code="broken_file")
