"""The Plan: what will be drawn with which adapters, what was refused, and why. All floors share these records.

The same object in Python, in JSON and in a picture's metadata. `Plan.model_json_schema()` is its schema. It knows
nothing of databases, models or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stylus_gen.tools.card import Kind, WeightSource
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family
from stylus_gen.tools.triggers import place_words

MAX_IMAGES = 64
"""Pictures of one plan."""

MAX_SEED = 2**32 - 1

MAX_BYTES = 4 * 2**20
"""Bytes of a plan or a recipe that is read."""

MAX_TEXT = 20_000
"""Characters of any one text in a plan or a recipe, which may be a stranger's: four times the longest prompt."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]

Profile = Literal["personal", "commercial", "strict"]

RejectionCode = Literal[
    "not_relevant",  # it does not show what the concept asks for
    "low_score",  # the estimated probability that it is right is below the threshold
    "wrong_family",  # trained for another base
    "licence",  # the policy's profile forbids it
    "unsafe",  # nsfw above the level asked for, a real person, a minor
    "duplicate",  # another adapter already does this
    "clash",  # it contradicts an adapter already chosen
    "over_cap",  # more adapters than the caps allow
    "unasked",  # sliders and accelerators are added only when asked for by name
    "banned",  # the user banned it, or the prompt excludes it ("without a hat")
    "no_file",  # chosen, but its file is not on this machine
    "broken_file",  # its file cannot be used
]


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def up_to(newest: int, what: str) -> BeforeValidator:
    """Refuse a ``schema_version`` above ``newest`` with a sentence (BadRequest), whatever else is in the record."""

    def check(version: object) -> object:
        if isinstance(version, int) and version > newest:
            raise BadRequest(
                f"a newer Stylus wrote this {what} (schema_version {version}; this one reads up to {newest}): install "
                "that version or a later one"
            )
        return version

    return BeforeValidator(check)


class Policy(Record):
    """The licences and the nsfw level that are allowed. Real people and minors never are."""

    profile: Profile = "personal"
    nsfw_level: int = Field(default=1, ge=1, le=31, description="highest level shown: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX")
    installed_only: bool = False


class Budget(Record):
    """What one plan may spend on a chat model; the offline planner needs none of it."""

    model_calls: int = Field(default=8, ge=0)
    tokens: int = Field(default=12_000, ge=0, description="prompt and completion")
    seconds: float = Field(default=60, ge=0)


class Concept(Record):
    """A span of the prompt: ``prompt[start:end] == text``."""

    id: str
    text: str = Field(min_length=1)
    start: int = Field(ge=0)
    end: int = Field(ge=1)
    kind: Kind = "unknown"
    search_terms: tuple[str, ...] = Field(
        default=(), exclude=True, description="other words to search it by; never drawn"
    )


WHOLE = "prompt"
"""Id of the concept that is the whole prompt; search ranks for it too."""


def whole_prompt(prompt: str) -> Concept:
    """Make the concept that is the whole prompt."""
    return Concept(id=WHOLE, text=prompt, start=0, end=len(prompt))


class Candidate(Record):
    """An adapter that search found for a concept.

    ``score`` is the estimated probability in [0, 1] that it is right; ``evidence`` says which retrievers found it.
    """

    adapter_id: str
    model_key: str
    name: str
    version: str = ""
    kind: Kind
    family: Family
    score: float = Field(ge=0, le=1)
    evidence: tuple[str, ...] = ()
    summary: str = ""
    trigger_groups: tuple[tuple[str, ...], ...] = ()
    weight: float = 0.8
    weight_source: WeightSource = "default"
    tags: tuple[str, ...] = ()
    installed: bool = False


class Assignment(Record):
    """One adapter, for one concept, at one weight."""

    concept_id: Text
    adapter_id: Text
    model_key: Text
    name: Text
    version: Text = ""
    kind: Kind
    family: Family
    score: float = Field(ge=0, le=1)
    weight: float = Field(ge=-5, le=5)
    weight_source: WeightSource
    trigger_words: tuple[Text, ...] = ()
    reason: Text


class Rejection(Record):
    """One candidate that was refused, and why."""

    adapter_id: Text
    name: Text
    concept_id: Text | None = None
    code: RejectionCode
    reason: Text


class Coverage(Record):
    """Which concepts got an adapter, by concept id."""

    covered: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()


class Verdict(Record):
    """What the licences allow together; the most restrictive one wins."""

    profile: Profile
    commercial_use: bool | None = Field(description="None: at least one author did not say")
    credits: tuple[Text, ...] = Field(default=(), description="lines to print beside the picture")
    notes: tuple[Text, ...] = ()


class PlannerInfo(Record):
    """The planner: ``offline`` or ``provider:model``, how the model was called, and the prompts' version."""

    name: Text
    mode: Literal["rules", "tools", "schema", "json"] = "rules"
    prompt_version: Text | None = None


class Tokens(Record):
    """What the model calls cost."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0


MaskRow = Annotated[tuple[bool, ...], Field(description="one flag an assignment, in order")]


class Plan(Record):
    """A prompt, the adapters for it, and everything that was decided on the way. Immutable; edits make a new plan.

    ``schema_version`` grows when a field is added, removed or changes meaning. A plan without one is of version 1. A
    later version must read every earlier one: a ``mode="before"`` validator here adds or renames the fields. A newer
    one is refused with a sentence.
    """

    schema_version: Annotated[Literal[1], up_to(1, "plan")] = 1
    prompt: Text = Field(min_length=1)
    final_prompt: Text
    negative_prompt: Text = ""
    base: Text | None = Field(default=None, description="a diffusers folder or hub id; None: not chosen")
    family: Family
    concepts: tuple[Concept, ...] = ()
    assignments: tuple[Assignment, ...] = Field(default=(), max_length=100)
    rejected: tuple[Rejection, ...] = ()
    masks: tuple[MaskRow, ...] = Field(min_length=1, max_length=MAX_IMAGES, description="one row an image")
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    coverage: Coverage = Coverage()
    policy: Policy = Policy()
    banned: tuple[str, ...] = Field(default=(), description="adapter ids that no edit brings back")
    max_adapters: int = Field(default=4, ge=0, le=10)
    diversity: float = Field(default=0, ge=0, le=1, description="share of masks drawn at random instead of all on")
    budget: Budget = Field(default=Budget(), description="what it and each edit of it may spend on a chat model")
    verdict: Verdict
    warnings: tuple[Text, ...] = ()
    planner: PlannerInfo
    timings_ms: dict[str, float] = Field(default_factory=dict)
    tokens: Tokens = Tokens()

    @model_validator(mode="after")
    def _check(self) -> Self:
        ids = [c.id for c in self.concepts]
        if len(set(ids)) != len(ids):
            raise ValueError(f"concept ids repeat: {ids}")
        for c in self.concepts:
            if self.prompt[c.start : c.end] != c.text:
                raise ValueError(f"concept {c.id!r}: {c.text!r} is not prompt[{c.start}:{c.end}]")
        for a in self.assignments:
            if a.concept_id not in ids:
                raise ValueError(f"assignment of {a.name!r} names the unknown concept {a.concept_id!r}")
        for row in self.masks:
            if len(row) != len(self.assignments):
                raise ValueError(f"a mask row has {len(row)} flags for {len(self.assignments)} assignments")
        return self

    @property
    def images(self) -> int:
        """Count the images this plan draws."""
        return len(self.masks)

    def active(self, image: int) -> tuple[Assignment, ...]:
        """List the assignments that are on for one image."""
        return tuple(a for a, on in zip(self.assignments, self.masks[image], strict=True) if on)


def drawn_prompt(plan: Plan, image: int) -> str:
    """Give the prompt of one image: trigger words of adapters that are off stay out of it."""
    active = plan.active(image)
    if len(active) == len(plan.assignments):
        return plan.final_prompt
    if not active:
        return plan.prompt
    if plan.final_prompt != place_words(plan.prompt, _added_words(plan.assignments)):
        return plan.final_prompt  # somebody wrote it by hand
    return place_words(plan.prompt, _added_words(active))


def _added_words(assignments: Sequence[Assignment]) -> list[str]:
    return [word for assignment in assignments for word in assignment.trigger_words]
