"""Stages: which step comes next, and which tools it offers. Both depend only on the state."""

from __future__ import annotations

from typing import Literal

from stylus_gen.agent.state import State

Stage = Literal["segment", "search", "prune", "mask", "done"]

OFFERED: dict[Stage, tuple[str, ...]] = {
    "segment": ("segment_prompt", "search_adapters"),
    "search": ("search_adapters",),
    "prune": ("prune_candidates", "pick_masks"),
    "mask": ("pick_masks",),
    "done": (),
}
"""The tools of each stage, in the order to call them. No others, because every schema costs tokens on every call."""


def stage_of(state: State) -> Stage:
    """Return the next step."""
    if state.concepts is None:
        return "segment"
    if state.candidates is None:
        return "search"
    if state.assignments is None:
        return "prune"
    return "mask" if state.masks is None else "done"


def next_calls(state: State) -> str:
    """Name the tools to call now, for a message to the planner."""
    return " and ".join(OFFERED[stage_of(state)]) or "nothing more"
