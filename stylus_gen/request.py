"""Making a `PlanRequest`: what the caller gives, over the settings."""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from stylus_gen.agent.request import PlanRequest
from stylus_gen.settings import Settings
from stylus_gen.tools.a1111 import read_seed, split_parts
from stylus_gen.tools.diffusion.base import base_family
from stylus_gen.tools.diffusion.settings import RenderSettings
from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family
from stylus_gen.tools.plan import MAX_SEED, Budget, Policy
from stylus_gen.tools.text import MAX_NAME, MAX_RECIPE, readable


def make_request(
    prompt: str, given: Mapping[str, Any], settings: Settings, family: Callable[[], Family]
) -> PlanRequest:
    """Make a request. A field that is absent or ``None`` comes from the settings; ``family`` is the settings' base's.

    Raises BadRequest naming each field that is wrong.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    for name in fields:
        if name not in PlanRequest.model_fields:
            raise BadRequest(f"a plan takes no argument {name!r}: {_place_of(name)}")
    fields |= {name: (fields[name],) for name in ("pinned", "banned") if isinstance(fields.get(name), str)}
    base = fields.get("base")
    if not fields.get("family"):
        fields["family"] = family() if base in (None, "", settings.base) else _family_of(base)
    defaults = {
        "base": settings.base,
        "policy": settings.policy,
        "max_adapters": settings.max_adapters,
        "budget": settings.budget,
    }
    if "seed" not in fields:
        fields["seed"] = _seed(prompt)
    try:
        return PlanRequest(prompt=prompt, **{**defaults, **fields})
    except ValidationError as error:
        raise BadRequest(f"the request: {faults(error)}") from None


def resolve_adapters(request: PlanRequest, find: Callable[[str], str]) -> PlanRequest:
    """Replace the names of pinned and banned adapters by their ids. Raises BadRequest for one that is both."""
    ids = {name: tuple(dict.fromkeys(map(find, getattr(request, name)))) for name in ("pinned", "banned")}
    return PlanRequest.model_validate({**dict(request), **ids})


def _place_of(name: str) -> str:
    """Say where an argument goes that is no field of a request."""
    within = name.removeprefix("model_") if name in ("model_tokens", "model_seconds") else name
    setting = f"model_{name}" if name in ("tokens", "seconds") else name
    always = f"Stylus({setting}=…)" if setting in Settings.model_fields else ""
    for model, call in ((Policy, "policy=Policy({}=…)"), (Budget, "budget=Budget({}=…)"),
                        (RenderSettings, "generate(plan, render=RenderSettings({}=…))")):  # fmt: skip
        if within in model.model_fields:
            here = call.format(within)
            return f"give {here}" + (f", or {always} for all plans" if always else "")
    if always:
        return f"give {always}"
    near = difflib.get_close_matches(name, PlanRequest.model_fields, 1)
    return f"did you mean {near[0]!r}?" if near else f"the arguments are {', '.join(PlanRequest.model_fields)}"


def _family_of(base: object) -> Family:
    return base_family(readable(base, "the base", MAX_NAME))[0]


def _seed(prompt: object) -> int:
    """Read the seed from a prompt that was pasted with its settings; without one, draw it at random."""
    short = isinstance(prompt, str) and len(prompt) <= MAX_RECIPE
    pasted = read_seed(split_parts(str(prompt)).settings) if short else ""
    usable = re.fullmatch(r"[0-9]{1,10}", pasted) and int(pasted) <= MAX_SEED
    return int(pasted) if usable else secrets.randbits(32)
