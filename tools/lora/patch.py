"""What an adapter adds to one weight: LoRA and LoCon, LoHa, LoKr, full differences, each with or without DoRA.

Formulas: LoRA arXiv 2106.09685; LoHa (FedPara) arXiv 2108.06098; LoKr and Tucker forms arXiv 2309.14859; DoRA arXiv
2402.09353. All arithmetic is in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]

_FORMS: dict[str, tuple[frozenset[str], ...]] = {
    "lora": (frozenset({"A", "B"}), frozenset({"A", "B", "mid"})),
    "loha": tuple(
        frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", *tucker})
        for tucker in ((), ("hada_t1", "hada_t2"))
    ),
    "lokr": tuple(
        frozenset({*w1, *w2})
        for w1 in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for w2 in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"), ("lokr_w2_a", "lokr_w2_b", "lokr_t2"))
    ),
    "diff": (frozenset({"diff"}),),
}


@dataclass(frozen=True, eq=False)
class Patch:
    """One form's tensors for one weight, and the ``scale`` (alpha / rank) of their product.

    ``magnitude`` (DoRA) has the weight's number of axes: (out, 1, …) for lengths of rows, (1, in, …) of columns.
    """

    form: str
    parts: Parts
    scale: float
    magnitude: Tensor | None = None

    def shape(self) -> tuple[int, ...]:
        """Compute only the shape of what it adds. Raises RuntimeError if the parts do not match."""
        return tuple(delta(self.form, {name: part.to("meta") for name, part in self.parts.items()}).shape)


def form_of(parts: Parts) -> str | None:
    """Name the form of exactly these parts; ``None`` if some are missing or unknown."""
    return next((form for form, sets in _FORMS.items() if frozenset(parts) in sets), None)


def rank_of(parts: Parts) -> int | None:
    """Return the rank that alpha is divided by; ``None`` if the form has none (alpha is then ignored)."""
    if "A" in parts:
        return parts["A"].shape[0]
    for name in ("hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if name in parts:
            return parts[name].shape[0]
    return None


def delta(form: str, parts: Parts) -> Tensor:
    """Compute the unscaled difference that the parts describe: (out, in, …)."""
    return {"lora": _lora, "loha": _loha, "lokr": _lokr, "diff": _diff}[form](parts)


def add_patch(total: Tensor, pristine: Tensor, patch: Patch, weight: float) -> None:
    """Add ``weight`` times a patch to ``total``, in place.

    Both have the weight's shape; ``total`` is float32. A DoRA patch interpolates between the
    pristine weight and its own result, so that weight 0 changes nothing.
    """
    parts = {name: part.to(total.device, torch.float32) for name, part in patch.parts.items()}
    if patch.magnitude is not None:
        start = pristine.float()
        changed = start + patch.scale * delta(patch.form, parts).view_as(start)
        total.add_(_decompose(changed, patch.magnitude.to(changed)) - start, alpha=weight)
    elif patch.form == "lora" and "mid" not in parts:
        total.view(len(total), -1).addmm_(parts["B"].flatten(1), parts["A"].flatten(1), alpha=weight * patch.scale)
    else:
        total.add_(delta(patch.form, parts).view_as(total), alpha=weight * patch.scale)


def _lora(p: Parts) -> Tensor:
    a, b = p["A"], p["B"].flatten(1)
    if "mid" in p:  # a 1×1, the kernel in the middle, b 1×1
        return torch.einsum("or,rskl,si->oikl", b, p["mid"], a.flatten(1))
    return (b @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:])


def _loha(p: Parts) -> Tensor:
    if "hada_t1" in p:
        one = torch.einsum("ijkl,jr,ip->prkl", p["hada_t1"], p["hada_w1_b"], p["hada_w1_a"])
        return one * torch.einsum("ijkl,jr,ip->prkl", p["hada_t2"], p["hada_w2_b"], p["hada_w2_a"])
    return (p["hada_w1_a"] @ p["hada_w1_b"]) * (p["hada_w2_a"] @ p["hada_w2_b"])


def _lokr(p: Parts) -> Tensor:
    one = p["lokr_w1"] if "lokr_w1" in p else p["lokr_w1_a"] @ p["lokr_w1_b"]
    if "lokr_t2" in p:
        two = torch.einsum("ijkl,jr,ip->prkl", p["lokr_t2"], p["lokr_w2_b"], p["lokr_w2_a"])
    else:
        two = p["lokr_w2"] if "lokr_w2" in p else p["lokr_w2_a"] @ p["lokr_w2_b"]
    return torch.kron(one.reshape(*one.shape, *[1] * (two.ndim - one.ndim)), two)


def _diff(p: Parts) -> Tensor:
    return p["diff"]


def _decompose(changed: Tensor, magnitude: Tensor) -> Tensor:
    """Scale each row (out) or column (in) of ``changed`` to its learnt length.

    ``magnitude`` has size 1 along the other axes.
    """
    axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
    lengths: Tensor = torch.linalg.vector_norm(changed, dim=axes, keepdim=True)
    return changed * (magnitude / lengths)
