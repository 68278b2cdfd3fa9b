"""Read the adapter files of a plan or a recipe for a pipeline. An unusable file is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stylus_gen.tools.diffusion.pipeline import Pipeline
from stylus_gen.tools.diffusion.recipe import AppliedAdapter
from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.families import support
from stylus_gen.tools.lora.adapter import Adapter
from stylus_gen.tools.lora.binding import misfit
from stylus_gen.tools.plan import Assignment, Plan

_SHA256 = re.compile(r"[0-9a-f]{64}")


def load_adapters(plan: Plan, pipeline: Pipeline, files: Mapping[str, Path]) -> dict[str, Adapter]:
    """Read the adapters that any picture uses, by id. Raises AdapterRejected naming every one that cannot be used."""
    used = [a for i, a in enumerate(plan.assignments) if any(row[i] for row in plan.masks)]
    adapters: dict[str, Adapter] = {}
    refused: list[dict[str, str]] = []
    for assignment in used:
        try:
            adapters[assignment.adapter_id] = _load(assignment, pipeline, files)
        except AdapterRejected as error:
            code = str(error.facts.get("code", "broken_file"))
            named = {"adapter_id": assignment.adapter_id, "name": assignment.name}
            refused.append({**named, "code": code, "reason": error.message})
    if refused:
        reasons = "; ".join(f"{r['name'][:80]!r}: {r['reason']}" for r in refused)
        raise AdapterRejected(f"{len(refused)} of {len(used)} adapters cannot be used: {reasons}", rejected=refused)
    return adapters


def same_adapter(applied: AppliedAdapter, pipeline: Pipeline, files: Mapping[str, Path]) -> Adapter:
    """Read the exact file that a recipe names. The keys of ``files`` are adapter ids or SHA-256s."""
    path = files.get(applied.adapter_id) or files.get(applied.sha256)
    if path is None:
        raise AdapterRejected(
            f"{applied.name[:80]!r} is not on this machine (SHA-256 {applied.sha256})", code="no_file"
        )
    adapter = pipeline.cache.get(path)
    if adapter.sha256 != applied.sha256:
        raise AdapterRejected(
            f"{applied.name[:80]!r} has changed: its SHA-256 is {adapter.sha256}, and the picture was made with "
            f"{applied.sha256}",
            code="broken_file",
        )
    return adapter


def _load(assignment: Assignment, pipeline: Pipeline, files: Mapping[str, Path]) -> Adapter:
    path = files.get(assignment.adapter_id)
    if path is None:
        raise AdapterRejected("its file is not on this machine: import the folder that holds it", code="no_file")
    given, base = assignment.family, pipeline.family
    if "unknown" not in (given, base) and support(given, base) == "none":
        raise misfit(given, base, "plan again for this base")
    adapter = pipeline.cache.get(path)
    if _SHA256.fullmatch(assignment.adapter_id) and adapter.sha256 != assignment.adapter_id:
        raise AdapterRejected("its file has changed since it was imported: import it again", code="broken_file")
    return adapter
