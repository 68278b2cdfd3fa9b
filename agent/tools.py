"""The agent's four tools: for each its arguments, its schema for the model, its function; `TOOLS` joins them.

The functions check a planner's arguments against the state, then call the pure functions. A `Fault` tells the planner
what to correct. Every other error is for the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from stylus_gen.agent.assign import assign
from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.model.schema import Schema, array, choice, function, record, text
from stylus_gen.agent.pins import bind_pins, limits_of
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.stage import Stage, next_calls, stage_of
from stylus_gen.agent.state import State
from stylus_gen.tools.candidate import exclusion
from stylus_gen.tools.card import Kind
from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.masks import pick_masks
from stylus_gen.tools.negation import affirmed, negated
from stylus_gen.tools.plan import WHOLE, Candidate, Concept, Rejection
from stylus_gen.tools.prune import Choice, prune
from stylus_gen.tools.segment import occurs, place_concepts
from stylus_gen.tools.text import clean_text, plain

CANDIDATES = 10
"""Candidates asked for each concept."""

SEARCH_TERMS = 3
"""Other words that a concept may be searched by."""

NEGATED = 8
"""Negated spans that are searched for."""

REASON = 160
"""Characters of a planner's reason that are kept."""

# Limits that a model is given: characters of a span, a reason and a handle; concepts; candidates refused together.
MODEL_SPAN, MODEL_REASON, MODEL_HANDLE, MODEL_CONCEPTS, MODEL_REFUSED = 80, 100, 4, 12, 12
MODEL_KINDS = [kind for kind in get_args(Kind) if kind not in ("slider", "accelerator")]
MODEL_CODES = ["not_relevant", "duplicate", "clash", "over_cap", "unasked"]

Update = dict[str, Any]


class Fault(Exception):
    """A mistake that the planner can correct; the message says how."""


class Span(BaseModel):
    """Words of the prompt and what they ask for."""

    text: str
    kind: Kind
    search_terms: list[str] = Field(default_factory=list)


class SegmentPrompt(BaseModel):
    """The concepts that an adapter could serve, in words copied from the prompt."""

    concepts: list[Span]


class SearchAdapters(BaseModel):
    """Texts of the concepts to search adapters for."""

    concepts: list[str]


class Keep(BaseModel):
    """One adapter for one concept."""

    adapter: str
    concept: str
    reason: str


class Refuse(BaseModel):
    """Adapters refused for one reason."""

    adapters: list[str]
    code: Literal["not_relevant", "low_score", "duplicate", "clash", "over_cap", "unasked", "wrong_family", "banned"]
    reason: str


class PruneCandidates(BaseModel):
    """The candidates to keep and to refuse. Keeping none is a normal answer."""

    keep: list[Keep]
    refuse: list[Refuse] = Field(default_factory=list)


class PickMasks(BaseModel):
    """Ids of the concepts whose adapters are alternatives, one an image; normally none."""

    alternate: list[str] = Field(default_factory=list)


def _segment_fields(state: State, handles: Iterable[str]) -> Schema:
    span = record({"text": text(MODEL_SPAN), "kind": choice(MODEL_KINDS)})
    return {"concepts": array(span, MODEL_CONCEPTS)}


def segment(state: State, args: SegmentPrompt, context: AgentContext) -> tuple[Update, str]:
    """Place the spans in the prompt, without those that are negated or, if any occurs, do not occur."""
    spans: list[tuple[str, Kind]] = [(affirmed(span.text), span.kind) for span in args.concepts]
    prompt = state.request.prompt
    there = [span for span in spans if occurs(affirmed(prompt), span[0])]
    strange = [span for span in spans if not occurs(prompt, span[0]) and plain(span[0])]
    try:
        concepts = place_concepts(prompt, there or strange)
    except BadRequest as error:
        raise Fault(error.message) from None
    terms = {plain(span.text): tuple(span.search_terms[:SEARCH_TERMS]) for span in args.concepts}
    concepts = [c.model_copy(update={"search_terms": terms.get(plain(c.text), ())}) for c in concepts]
    return {"concepts": concepts}, ", ".join(f"{c.id}={c.text!r}" for c in concepts) or "no concepts"


def _search_fields(state: State, handles: Iterable[str]) -> Schema:
    return {"concepts": array(text(MODEL_SPAN), MODEL_CONCEPTS)}


def search(state: State, args: SearchAdapters, context: AgentContext) -> tuple[Update, str]:
    """Ask the catalogue for candidates, for the concepts named and for the prompt as a whole.

    What the prompt excludes is searched for too, and refused, so that the plan names it.
    """
    known = {concept.text.casefold(): concept for concept in state.concepts or ()}
    known |= {concept.id: concept for concept in state.concepts or ()}
    texts = [text for text in args.concepts if text.casefold() in known]
    if args.concepts and not texts and state.concepts:
        raise Fault(f"not among the concepts: {args.concepts}; they are {[c.text for c in state.concepts or ()]}")
    wanted = {known[text.casefold()].id: known[text.casefold()] for text in texts}
    found = _find(state.request, [*wanted.values()], context)
    gone = {c.adapter_id: why for c in chain(*found.values()) if (why := exclusion(c, state.request.prompt))}
    gone |= dict.fromkeys(state.request.banned, "")
    candidates = {
        place: [c for c in found[place] if c.adapter_id not in gone][:CANDIDATES] for place in [*wanted, WHOLE]
    }
    refused = {
        c.adapter_id: Rejection(adapter_id=c.adapter_id, name=c.name, code="banned", reason=gone[c.adapter_id])
        for c in chain(*found.values())
        if gone.get(c.adapter_id)
    }
    update = {"candidates": candidates, "rejected": [*refused.values()]}
    return update, f"{sum(map(len, candidates.values()))} candidates"


def _find(request: PlanRequest, wanted: Sequence[Concept], context: AgentContext) -> dict[str, Sequence[Candidate]]:
    """Search for each concept and the whole prompt; what the prompt negates gets the ids ``-1``, ``-2``, …"""
    prompt, said = request.prompt, affirmed(request.prompt)
    spans = enumerate(negated(prompt)[:NEGATED], 1)
    unwanted = [Concept(id=f"-{i}", text=prompt[start:end], start=start, end=end) for i, (start, end) in spans]
    found = context.search(said, [*wanted, *unwanted], request.family, request.policy, CANDIDATES)
    named = {concept.id: found.get(concept.id, ()) for concept in (*wanted, *unwanted)}
    return named | {WHOLE: found.get(WHOLE, ()) if plain(said) else ()}


def _prune_fields(state: State, handles: Iterable[str]) -> Schema:
    reason = text(MODEL_REASON)
    keep = record({"adapter": choice(handles), "concept": choice(state.places()), "reason": reason})
    # An enum of the handles would cost a token or two each, and a refusal of an unknown one is ignored.
    adapters = array(text(MODEL_HANDLE), MODEL_REFUSED)
    refuse = record({"adapters": adapters, "code": choice(MODEL_CODES), "reason": reason})
    return {"keep": array(keep, state.request.max_adapters), "refuse": array(refuse, len(MODEL_CODES))}


def prune_candidates(state: State, args: PruneCandidates, context: AgentContext) -> tuple[Update, str]:
    """Check what is kept against the rules, and give it weights and trigger words."""
    handles, places = state.handles(), state.places()
    choices = [_choice(keep, handles, places) for keep in args.keep]
    refused = [rejection for refuse in args.refuse for rejection in _rejections(refuse, handles)]
    pins = bind_pins(state)
    pinned = {choice.candidate.adapter_id for choice in pins}
    pruned = prune([*pins, *(c for c in choices if c.candidate.adapter_id not in pinned)], limits_of(state))
    if pruned.refused:
        broken = "; ".join(f"{_handle(r, handles)} {r.name[:40]!r}: {r.reason}" for r in pruned.refused)
        raise Fault(f"these break a rule, leave them out and answer again: {broken}")
    assignments, forbidden, warnings = assign(pruned.kept, state.request, context.cards)
    chosen = {assignment.adapter_id for assignment in assignments}
    rejected = [r for r in [*state.rejected, *forbidden, *refused] if r.adapter_id not in chosen]
    update = {"assignments": assignments, "rejected": rejected, "warnings": [*state.warnings, *warnings]}
    return update, f"{len(assignments)} assigned"


def _choice(keep: Keep, handles: dict[str, Candidate], places: dict[str, Concept]) -> Choice:
    if keep.adapter not in handles:
        raise Fault(f"no candidate is called {keep.adapter!r}; the candidates are A1 to A{len(handles)}")
    if keep.concept not in places:
        raise Fault(f"no concept is called {keep.concept!r}; the concepts are {', '.join(places)}")
    reason = clean_text(keep.reason, REASON) or "kept"
    return Choice(concept=places[keep.concept], candidate=handles[keep.adapter], reason=reason)


def _rejections(refuse: Refuse, handles: dict[str, Candidate]) -> list[Rejection]:
    reason = clean_text(refuse.reason, REASON) or refuse.code
    return [
        Rejection(adapter_id=handles[n].adapter_id, name=handles[n].name, code=refuse.code, reason=reason)
        for n in refuse.adapters
        if n in handles
    ]


def _handle(rejection: Rejection, handles: dict[str, Candidate]) -> str:
    return next((n for n, candidate in handles.items() if candidate.adapter_id == rejection.adapter_id), "a pin")


def _mask_fields(state: State, handles: Iterable[str]) -> Schema:
    return {"alternate": array(choice(state.places()), MODEL_CONCEPTS)}


def mask(state: State, args: PickMasks, context: AgentContext) -> tuple[Update, str]:
    """Choose which assignments are on for which image."""
    places = state.places()
    if missing := [name for name in args.alternate if name not in places]:
        raise Fault(f"no concepts are called {missing}; the concepts are {', '.join(places)}")
    request = state.request
    rows = pick_masks(
        state.assignments or (),
        images=request.images,
        seed=request.seed,
        diversity=request.diversity,
        alternate=args.alternate,
    )
    return {"masks": list(rows)}, f"{len(rows)} rows"


@dataclass(frozen=True)
class Tool:
    """A tool: its name, the stage it ends, words for the model, arguments, the schema's properties, the function.

    ``fields`` takes the state and the handles of the candidates that the model sees.
    """

    name: str
    stage: Stage
    words: str
    args: type[BaseModel]
    fields: Callable[[State, Iterable[str]], Schema]
    run: Callable[[State, Any, AgentContext], tuple[Update, str]]

    def describe(self, state: State, handles: Iterable[str]) -> Schema:
        """Describe the tool to a model: flat, nothing optional, names and ids as enums."""
        return function(self.name, self.words, self.fields(state, handles))


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("segment_prompt", "segment", "Name the concepts.", SegmentPrompt, _segment_fields, segment),
        Tool("search_adapters", "search", "Search for these, by text.", SearchAdapters, _search_fields, search),
        Tool("prune_candidates", "prune", "Keep or refuse.", PruneCandidates, _prune_fields, prune_candidates),
        Tool("pick_masks", "mask", "Pick the masks.", PickMasks, _mask_fields, mask),
    )
}


def use_tool(name: str, args: dict[str, Any], state: State, context: AgentContext) -> tuple[Update, str]:
    """Run one tool call on a state; return what changes and the answer. Raises Fault where the planner can fix it."""
    if name not in TOOLS:
        raise Fault(f"there is no tool {name[:60]!r}; call {next_calls(state)}")
    tool = TOOLS[name]
    if tool.stage != stage_of(state):
        raise Fault(f"{name} cannot be called now; call {next_calls(state)}")
    try:
        parsed = tool.args.model_validate(args)
    except ValidationError as error:
        raise Fault(f"the arguments of {name} are wrong: {faults(error)}") from None
    return tool.run(state, parsed, context)
