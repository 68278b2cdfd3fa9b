"""The state of one planning run: small records that can be saved; no picture, file or connection."""

from __future__ import annotations

from typing import Literal

from langchain_core.messages import AnyMessage
from pydantic import BaseModel, ConfigDict, Field

from stylus_gen.agent.request import PlanRequest
from stylus_gen.tools.plan import Assignment, Candidate, Concept, MaskRow, Plan, Rejection, Tokens, whole_prompt
from stylus_gen.tools.prune import Choice

Mode = Literal["rules", "tools", "schema", "json"]


class State(BaseModel):
    """What is known so far. ``None``: the step was not taken yet; an empty list: it found nothing."""

    model_config = ConfigDict(extra="forbid")

    request: PlanRequest
    named: list[Concept] = Field(default_factory=list, description="names and notions that the catalogue knows")
    concepts: list[Concept] | None = None
    pinned: list[Choice] = Field(default_factory=list)
    candidates: dict[str, list[Candidate]] | None = Field(default=None, description="by concept id, best first")
    assignments: list[Assignment] | None = None
    rejected: list[Rejection] = Field(default_factory=list)
    masks: list[MaskRow] | None = None
    exchange: list[AnyMessage] = Field(default_factory=list, description="what went wrong in the current step")
    mode: Mode | None = Field(default=None, description="how the model is called in this run")
    faults: int = Field(default=0, description="failed answers and calls of the model")
    fell_back: str | None = Field(default=None, description="why the offline planner took over")
    tokens: Tokens = Tokens()
    timings_ms: dict[str, float] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    plan: Plan | None = None

    @property
    def seconds(self) -> float:
        """Sum the seconds spent so far."""
        return sum(self.timings_ms.values()) / 1000

    def places(self) -> dict[str, Concept]:
        """Map concept ids to concepts, the whole prompt among them."""
        return {concept.id: concept for concept in [*(self.concepts or ()), whole_prompt(self.request.prompt)]}

    def handles(self) -> dict[str, Candidate]:
        """Name the candidates A1, A2, …, each adapter once, in the order of search.

        A chat model reads and writes these names instead of content hashes: one token instead of forty.
        """
        found: dict[str, Candidate] = {}
        for candidates in (self.candidates or {}).values():
            for candidate in candidates:
                best = found.setdefault(candidate.adapter_id, candidate)
                if candidate.score > best.score:
                    found[candidate.adapter_id] = candidate
        return {f"A{i}": candidate for i, candidate in enumerate(found.values(), 1)}
