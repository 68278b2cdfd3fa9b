"""Make the recipe of each picture of a plan, before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping

from stylus_gen.tools.diffusion.apply import strongest
from stylus_gen.tools.diffusion.draw import ignored, versions
from stylus_gen.tools.diffusion.pipeline import Pipeline
from stylus_gen.tools.diffusion.recipe import AppliedAdapter, Recipe
from stylus_gen.tools.diffusion.schedulers import label, make_scheduler
from stylus_gen.tools.diffusion.settings import RenderSettings, above_usual
from stylus_gen.tools.families import TITLES, support
from stylus_gen.tools.lora.adapter import Adapter
from stylus_gen.tools.plan import Assignment, Plan, drawn_prompt


def prepare_recipe(
    plan: Plan,
    image: int,
    pipeline: Pipeline,
    adapters: Mapping[str, Adapter],
    settings: RenderSettings,
    *,
    control: bool = False,
) -> Recipe:
    """Make the recipe of one picture of a plan, without adapters for a ``control``. All ``settings`` must be set."""
    active = () if control else plan.active(image)
    prompt = plan.prompt if control else drawn_prompt(plan, image)
    named = {adapters[a.adapter_id].sha256: a for a in active}
    applied = strongest([(adapters[a.adapter_id], a.weight) for a in active])
    return Recipe(
        plan=plan.model_copy(update={"base": pipeline.base}),
        image=image,
        mask=plan.masks[image],
        control=control,
        prompt=prompt,
        negative_prompt=plan.negative_prompt,
        seed=plan.seed + image,
        settings=settings.model_copy(update={"control": False}),
        sampler=label(make_scheduler(pipeline.scheduler, str(settings.scheduler))),
        base=pipeline.base,
        base_fingerprint=pipeline.fingerprint,
        family=pipeline.family,
        adapters=tuple(_applied(adapter, named[adapter.sha256], weight) for adapter, weight in applied),
        device=pipeline.device,
        dtype=pipeline.dtype,
        versions=versions(),
        warnings=(
            *(note for adapter, _ in applied for note in _doubts(adapter, named[adapter.sha256], pipeline)),
            *above_usual(settings, pipeline.defaults),
            *ignored(prompt, plan.negative_prompt, pipeline),
        ),
    )


def _applied(adapter: Adapter, assignment: Assignment, weight: float) -> AppliedAdapter:
    return AppliedAdapter(
        adapter_id=assignment.adapter_id,
        name=assignment.name,
        file_name=adapter.file_name,
        sha256=adapter.sha256,
        autov3=adapter.autov3,
        weight=weight,
        matched=adapter.matched,
        unmatched=len(adapter.unmatched),
    )


def _doubts(adapter: Adapter, assignment: Assignment, pipeline: Pipeline) -> list[str]:
    name, doubts = assignment.name[:80], []
    if adapter.unmatched:
        total = adapter.matched + len(adapter.unmatched)
        doubts.append(f"{name!r}: {len(adapter.unmatched)} of its {total} modules are not in this base")
    if "unknown" not in (adapter.family, pipeline.family) and support(adapter.family, pipeline.family) != "full":
        doubts.append(f"{name!r} is for {TITLES[adapter.family]} ({adapter.family_reason}), though it fits this base")
    return doubts
