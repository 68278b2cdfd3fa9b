"""Binding: find an adapter's modules in a base, make patches of its tensors and check their sizes.

Does not read files. Names come from keys.py, modules from sites.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.families import TITLES, Family
from stylus_gen.tools.lora.alphas import Alphas
from stylus_gen.tools.lora.patch import Patch, form_of, rank_of
from stylus_gen.tools.lora.sites import Site, Sites

Target = tuple[Site, str]
"""A parameter of the base: a module, and ``weight`` or ``bias``."""

_Parts = dict[str, Tensor]
_NOT_FACTORS = ("alpha", "dora_scale", "magnitude", "diff_b")


def misfit(family: Family, base: Family, why: str) -> AdapterRejected:
    """Make the error for an adapter of another model."""
    known = family != "unknown" and family != base
    what = f"this adapter is for {TITLES[family]}, the base is {TITLES[base]}" if known else "it does not fit this base"
    return AdapterRejected(f"{what}: {why}", code="wrong_family", family=family, base=base)


def bind_modules(grouped: Mapping[tuple[str, str], _Parts], sites: Sites) -> tuple[dict[Site, _Parts], tuple[str, ...]]:
    """Find the base's module for each (component, module). Returns those, and the names that the base does not have.

    Raises AdapterRejected if two names mean the same module.
    """
    bound: dict[Site, _Parts] = {}
    unmatched: list[str] = []
    for (component, module), parts in grouped.items():
        site = sites.find(component, module)
        if site is None:
            unmatched.append(f"{component}.{module}")
        elif site in bound:
            raise AdapterRejected(f"it names the module {site.module!r} twice, under two names", code="broken_file")
        else:
            bound[site] = parts
    return bound, tuple(unmatched)


def make_patches(
    bound: Mapping[Site, _Parts], sites: Sites, alphas: Alphas, family: Family, base: Family
) -> dict[Target, Patch]:
    """Turn the parts of each module into patches for its parameters.

    Raises AdapterRejected if parts are missing or a size differs from the base's.
    """
    patches: dict[Target, Patch] = {}
    for site, parts in bound.items():
        factors = {name: part for name, part in parts.items() if name not in _NOT_FACTORS}
        if factors or "diff_b" not in parts:
            patches[site, "weight"] = _weight_patch(site, parts, factors, sites, alphas)
        if "diff_b" in parts:
            patches[site, "bias"] = Patch("diff", {"diff": parts["diff_b"]}, 1.0)
    for (site, name), patch in patches.items():
        _check_size(patch, site, name, sites, family, base)
    return patches


def _weight_patch(site: Site, parts: _Parts, factors: _Parts, sites: Sites, alphas: Alphas) -> Patch:
    form = form_of(factors)
    if form is None:
        raise _incomplete(site, f"has the parts {sorted(parts)}, which are no known form")
    axes = sites.weight(site).ndim
    return Patch(form, factors, _scale(site, parts, factors, alphas), _magnitude(parts, axes))


def _scale(site: Site, parts: _Parts, factors: _Parts, alphas: Alphas) -> float:
    rank = rank_of(factors)
    if rank is None:
        return 1.0
    if "alpha" not in parts:
        alpha = alphas(site, rank)
    elif parts["alpha"].numel() == 1:
        alpha = float(parts["alpha"])
    else:
        raise _incomplete(site, "has an alpha that is not one number")
    return 1.0 if alpha is None else alpha / rank


def _magnitude(parts: _Parts, axes: int) -> Tensor | None:
    """Reshape DoRA's lengths for broadcasting.

    LyCORIS writes (1, in, …) or (out, 1, …), peft (out,) or, for convolutions, (1, out, 1, 1).
    """
    lengths = parts.get("magnitude", parts.get("dora_scale"))
    if lengths is None:
        return None
    columns = "dora_scale" in parts and lengths.ndim > 1 and lengths.shape[0] == 1
    return lengths.reshape(1, -1, *[1] * (axes - 2)) if columns else lengths.reshape(-1, *[1] * (axes - 1))


def _check_size(patch: Patch, site: Site, name: str, sites: Sites, family: Family, base: Family) -> None:
    has = sites.bias(site) if name == "bias" else sites.weight(site)
    try:
        given = patch.shape()
    except RuntimeError as error:
        raise _incomplete(site, "has parts whose sizes do not match") from error
    if has is None or not _same_size(given, has.shape):
        wanted = "none" if has is None else _times(has.shape)
        raise misfit(family, base, f"its {name} for {site.module!r} is {_times(given)}, the base's is {wanted}")
    lengths = patch.magnitude
    if lengths is not None and not _same_axes(lengths.shape, has.shape):
        raise misfit(family, base, f"its DoRA lengths for {site.module!r} are {_times(lengths.shape)}")


def _same_size(given: tuple[int, ...], wanted: torch.Size) -> bool:
    """Compare sizes, ignoring axes of length 1 and flattened kernels: a 1×1 convolution is a linear layer."""
    if given[:1] != wanted[:1]:
        return False
    if len(given) == 2:
        return math.prod(given) == wanted.numel()
    return [n for n in given if n != 1] == [n for n in wanted if n != 1]


def _same_axes(lengths: torch.Size, wanted: torch.Size) -> bool:
    """Return whether lengths can be broadcast to a weight. It must be a matrix."""
    return len(lengths) == len(wanted) and all(m in (1, n) for m, n in zip(lengths, wanted, strict=True))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _incomplete(site: Site, why: str) -> AdapterRejected:
    return AdapterRejected(f"its module {site.module!r} {why}: the file is incomplete", code="broken_file")
