"""Merge adapters into a live model's weights, and restore the base bit for bit from a pristine copy.

``W = W0 + sum_i w_i · patch_i``, summed in float32 in the order of the files' hashes and rounded once. So neither the
order of the adapters nor earlier merges can change a bit. benchmarks/ADAPTER_PATH.md compares this with diffusers' own
adapter path. Not thread-safe: the caller holds the pipeline's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.adapter import Adapter
from stylus_gen.tools.lora.binding import Target
from stylus_gen.tools.lora.patch import Patch, add_patch
from stylus_gen.tools.lora.sites import Sites

Weighted = tuple[Adapter, float]


class AdapterRuntime:
    """One pipeline's weights, the adapters merged into them, and pristine copies of what they changed.

    A parameter is copied when an adapter first changes it. The copies stay; together they are at most the model's size.
    """

    def __init__(self, pipe: Any) -> None:
        self.sites = Sites(pipe)
        self.active: tuple[Weighted, ...] = ()
        self._pristine: dict[Target, Tensor] = {}

    def apply(self, adapters: Sequence[Weighted]) -> None:
        """Make exactly these adapters active; weight 0 counts as absent, an empty list restores the base.

        Raises AdapterRejected if a merged weight overflows float16. On any failure the base is restored.
        """
        wanted = strongest(adapters)
        if wanted == self.active:
            return
        jobs = _by_target(wanted)
        try:
            with torch.no_grad():
                for target in jobs.keys() | _by_target(self.active).keys():
                    self._merge(target, jobs.get(target, []))
            self._check_range(jobs)
        except BaseException:
            self._copy_back(self._pristine)
            raise
        self.active = wanted

    def restore(self) -> None:
        """Restore the base, bit for bit."""
        self.apply(())

    def _live(self, target: Target) -> Tensor:
        site, name = target
        tensor = self.sites.weight(site) if name == "weight" else self.sites.bias(site)
        assert tensor is not None  # binding has checked this
        return tensor

    def _merge(self, target: Target, jobs: Sequence[tuple[Patch, float]]) -> None:
        live = self._live(target)
        pristine = self._pristine.setdefault(target, live.detach().clone())
        if not jobs:
            live.copy_(pristine)
            return
        total = live.copy_(pristine) if live.dtype == torch.float32 else pristine.float()
        for patch, weight in jobs:
            add_patch(total, pristine, patch, weight)
        if total is not live:
            live.copy_(total)

    def _check_range(self, targets: Iterable[Target]) -> None:
        """Reject infinities in float16, which ends at 65504; bfloat16 has the range of float32."""
        live = [tensor for tensor in map(self._live, targets) if tensor.dtype == torch.float16]
        sound = [torch.isfinite(tensor).all() for tensor in live]
        if sound and not torch.stack(sound).all():  # waits for the device once, not once a parameter
            raise AdapterRejected("at these weights the model overflows float16: lower the weights, or use bfloat16")

    def _copy_back(self, targets: Iterable[Target]) -> None:
        with torch.no_grad():
            for target in targets:
                self._live(target).copy_(self._pristine[target])
        self.active = ()


def strongest(adapters: Sequence[Weighted]) -> tuple[Weighted, ...]:
    """Sort by content hash. Leave out weight 0; keep an adapter that is given twice once, at its stronger weight."""
    kept: dict[str, Weighted] = {}
    for adapter, weight in adapters:
        known = kept.get(adapter.sha256)
        if weight != 0 and (known is None or abs(weight) > abs(known[1])):
            kept[adapter.sha256] = (adapter, weight)
    return tuple(kept[sha256] for sha256 in sorted(kept))


def _by_target(adapters: Sequence[Weighted]) -> dict[Target, list[tuple[Patch, float]]]:
    jobs: dict[Target, list[tuple[Patch, float]]] = {}
    for adapter, weight in adapters:
        for target, patch in adapter.patches.items():
            jobs.setdefault(target, []).append((patch, weight))
    return jobs
