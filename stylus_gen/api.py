"""The Python API: everything the other doors do, they do through `Stylus`.

Nothing heavy is opened before it is needed: planning never imports torch, searching opens no model.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import ValidationError

from stylus_gen.settings import Settings, read_settings
from stylus_gen.tools.card import Kind
from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family, usable_families
from stylus_gen.tools.plan import MAX_BYTES, WHOLE, Budget, Candidate, Concept, Plan, Policy
from stylus_gen.tools.progress import Progress, silent
from stylus_gen.tools.text import MAX_NAME, MAX_RECIPE, readable

if TYPE_CHECKING:
    from stylus_gen.agent.context import AgentContext
    from stylus_gen.agent.planner import Planner
    from stylus_gen.agent.request import PlanRequest
    from stylus_gen.agent.threads.thread import Threads
    from stylus_gen.tools.card import Card
    from stylus_gen.tools.check import Report
    from stylus_gen.tools.diffusion.recipe import Recipe
    from stylus_gen.tools.generate import Limits, Pipeline, RenderSettings, Replayed
    from stylus_gen.tools.ingest import ImportSummary
    from stylus_gen.tools.search.audit import Audit
    from stylus_gen.tools.search.embed import Embedder
    from stylus_gen.tools.store.database import Database


@dataclass(frozen=True)
class Result:
    """What `Stylus.generate` made, in the order of the plan's masks.

    ``controls`` are the same seeds without adapters, where they were asked for.
    """

    images: list[Path]
    recipes: list[Recipe]
    controls: list[Path]


class Stylus:
    """Find, judge, weigh and draw.

    Keyword arguments are the fields of `Settings`; each overrides its ``STYLUS_*`` variable. Use it in a ``with``: the
    embedded database stops with the last process that uses it.
    """

    def __init__(
        self,
        *,
        database_url: str | None = None,
        model: str | None = None,
        base: str | None = None,
        progress: Progress = silent,
        **more: Any,
    ) -> None:
        self.settings: Settings = read_settings(database_url=database_url, model=model, base=base, **more)
        self.progress = progress
        self._stack = contextlib.ExitStack()
        self._world_is_here = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database and the model."""
        self._stack.close()

    @cached_property
    def database(self) -> Database:
        """Open the adapter store."""
        from stylus_gen.tools.store.database import open_database

        url = self.settings.database_url.get_secret_value() if self.settings.database_url else None
        return self._stack.enter_context(open_database(url, self.settings.home.expanduser()))

    @cached_property
    def embedder(self) -> Embedder:
        """Open the text embedder."""
        from stylus_gen.tools.search.embed import minilm

        return minilm()

    @cached_property
    def base(self) -> str:
        """Name the base model: the one that is set, else the small world's."""
        from stylus_gen.world import base_path

        return self.settings.base or str(base_path())

    @cached_property
    def family(self) -> Family:
        """Name the base's family, without loading the base. Raises BadRequest where it cannot be told."""
        from stylus_gen.tools.diffusion.base import base_family

        return self.settings.family or base_family(self.base)[0]

    @cached_property
    def pipeline(self) -> Pipeline:
        """Load the base model."""
        from stylus_gen.tools.diffusion.pipeline import load_base

        of = self.settings
        return load_base(self.base, device=of.device, dtype=of.dtype, family=of.family, progress=self.progress)

    @cached_property
    def planner(self) -> Planner:
        """Open the chat model, or the offline rules."""
        from stylus_gen.agent.model.chat_model import open_planner
        from stylus_gen.agent.model.modes import Modes

        of = self.settings
        return open_planner(
            of.model,
            base_url=of.model_base_url,
            api_key=of.model_api_key.get_secret_value() if of.model_api_key else None,
            modes=Modes(of.home.expanduser() / "models.json"),
        )

    @cached_property
    def threads(self) -> Threads:
        """Open the plans that wait for a person's word; they outlive the process."""
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

        from stylus_gen.agent.threads.thread import STORED, Threads

        serde = JsonPlusSerializer(allowed_msgpack_modules=STORED)
        saver = PostgresSaver(self.database.pool, serde=serde)  # type: ignore[arg-type]  # it sets its own row factory
        saver.setup()
        return Threads(saver, self._context)

    @property
    def policy(self) -> Policy:
        """Read the policy off the settings."""
        of = self.settings
        return Policy(profile=of.profile, nsfw_level=of.nsfw_level, installed_only=of.installed_only)

    def import_adapters(self, path: str | Path) -> ImportSummary:
        """Read a folder of adapters, or a file of Civitai model objects, into the store."""
        from stylus_gen.tools.ingest import import_adapters, write_problems

        if path == "":
            raise BadRequest("the path is empty: give a folder of LoRAs, or a file")
        summary = import_adapters(self.database, Path(path), embedder=self.embedder, progress=self.progress)
        return write_problems(summary, self.settings.home.expanduser() / "import-problems.txt")

    def index(self, family: str | None = None) -> tuple[int, float]:
        """Build the index by meaning of a large family (100,000 adapters or more), by default the base's.

        Returns how many adapters it holds and the share of the 60 nearest that it finds, on 50 of them.
        """
        from stylus_gen.tools.search.nearest import build_index, recall_of, sample_vectors

        family = family or self.family
        held = build_index(self.database, family, self.progress)
        return held, recall_of(self.database, family, sample_vectors(self.database, family, 50), 60)

    def check_index(self) -> Audit:
        """Compare the search index with the cards it was made of."""
        from stylus_gen.tools.search.audit import check_index

        return check_index(self.database, self.progress)

    def rebuild_index(self) -> None:
        """Build the search index anew from the cards; nothing but time is lost."""
        from stylus_gen.tools.search.index import rebuild_index

        rebuild_index(self.database, self.embedder, self.progress)

    def card(self, adapter: str) -> Card:
        """Read one card by id, hash or name."""
        from stylus_gen.tools.store.adapters import get_card

        return get_card(self.database, readable(adapter, "the adapter's name", MAX_NAME))

    def search(self, text: str, *, kind: str | None = None, limit: int = 10) -> list[Candidate]:
        """Find adapters for one concept or a whole prompt, best first."""
        from stylus_gen.tools.a1111 import split_parts
        from stylus_gen.tools.search import search_adapters

        if kind is not None and kind not in get_args(Kind):
            raise BadRequest(f"no kind is called {kind!r}; the kinds are {', '.join(get_args(Kind))}")
        if limit < 1:
            raise BadRequest(f"{limit} adapters cannot be listed: ask for 1 or more")
        what = "the text to search for"
        text = readable(split_parts(readable(text, what, MAX_RECIPE)).prompt, what)
        self._stock(self.family, self.settings.base)
        self._renew_index()
        kinds = [kind] if kind else None
        found = search_adapters(
            self.database, self.embedder, text, [], family=self.family, policy=self.policy, limit=limit, kinds=kinds
        )
        return list(found[WHOLE])

    def plan(self, prompt: str, *, images: int = 1, seed: int | None = None, **more: Any) -> Plan:
        """Choose adapters, weights and masks for a prompt, and say why.

        ``more`` are the other fields of `PlanRequest`, each over its setting; ``pinned`` and ``banned`` are adapters by
        id, hash or name. A seed that is not given is drawn at random and recorded in the plan.
        """
        return self.plan_request(self.request(prompt, images=images, seed=seed, **more))

    def plan_request(self, request: PlanRequest) -> Plan:
        """Plan a request, see `request`."""
        from stylus_gen.agent.graph import plan_prompt

        return plan_prompt(request, self._context)

    def request(self, prompt: str, *, images: int = 1, seed: int | None = None, **more: Any) -> PlanRequest:
        """Make the request of a plan, for `plan` and for ``threads.plan``; what is not given the settings fill in.

        Raises BadRequest naming each field that is wrong.
        """
        from stylus_gen.agent.request import PlanRequest

        of = self.settings
        given = {name: value for name, value in more.items() if value is not None}
        given |= {name: (given[name],) for name in ("pinned", "banned") if isinstance(given.get(name), str)}
        filled = {
            "seed": _pasted_seed(prompt) if seed is None else seed,
            "family": given.get("family") or self._family_of(given.get("base")),
            "base": of.base,
            "policy": self.policy,
            "max_adapters": of.max_adapters,
            "budget": Budget(model_calls=of.model_calls, tokens=of.model_tokens, seconds=of.model_seconds),
        }
        try:
            wish = PlanRequest(prompt=prompt, images=images, **{**filled, **given})
            self._stock(wish.family, wish.base)
            ids = {"pinned": self._ids(wish.pinned), "banned": self._ids(wish.banned)}
            return PlanRequest.model_validate({**dict(wish), **ids})
        except ValidationError as error:
            raise BadRequest(f"the request: {faults(error)}") from None

    def _family_of(self, base: str | None) -> Family:
        from stylus_gen.tools.diffusion.base import base_family

        return (
            base_family(readable(base, "the base", MAX_NAME))[0] if base and base != self.settings.base else self.family
        )

    def _ids(self, adapters: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.card(adapter).id for adapter in adapters))

    def revise(self, thread: str, line: str) -> Plan:
        """Change a thread's plan by a line such as "less of the style"; "accept" ends the wait for approval."""
        from stylus_gen.agent.threads.edit import Accept

        if line.strip().lower() == "accept":
            return self.threads.answer(thread, Accept())
        return self.threads.follow_up(thread, line)

    def accepted(self, thread: str) -> Plan:
        """Read a thread's plan for drawing. Raises BadRequest while it waits for approval."""
        plan = self.threads.read(thread)
        if self.threads.waits(thread):
            raise BadRequest(
                f"the thread {thread!r} waits for approval; look at it, then: stylus revise {thread} accept"
            )
        return plan

    def check(self, recipe: str | Path | Plan) -> Report:
        """Say of a recipe what a plan would be told.

        ``recipe`` is a `Plan`, the path of a plan or of a PNG, or a prompt with ``<lora:name:weight>`` tags.
        """
        from stylus_gen.tools.a1111 import read_a1111
        from stylus_gen.tools.check import check_recipe, uses_of
        from stylus_gen.tools.picture import read_picture

        if not isinstance(recipe, Plan):
            recipe = readable(str(recipe) if isinstance(recipe, Path) else recipe, "the recipe", MAX_RECIPE)
            recipe = self.read_plan(recipe) if recipe.lower().endswith(".json") else recipe
        if isinstance(recipe, Plan):
            prompt, uses, family = recipe.final_prompt, uses_of(recipe), recipe.family
        elif recipe.lower().endswith(".png"):
            (prompt, uses), family = read_picture(Path(recipe)), self.family
        else:
            (prompt, uses), family = read_a1111(recipe), self.family
            if not uses:
                raise BadRequest(
                    f"{recipe[:60]!r} names no adapter: expected a plan's .json, a .png, or a prompt with "
                    "<lora:name:weight> tags"
                )
        return check_recipe(prompt, uses, self.card, family=family, policy=self.policy)

    def read_plan(self, path: str | Path) -> Plan:
        """Read a plan that `Plan.model_dump_json` wrote. Raises BadRequest if it is none."""
        try:
            with Path(path).open("rb") as file:
                text = file.read(MAX_BYTES + 1)
            if len(text) > MAX_BYTES:
                raise BadRequest(f"{str(path)!r} is not a plan: it has more than {MAX_BYTES:,} bytes")
            return Plan.model_validate_json(text)
        except OSError as error:
            raise BadRequest(f"the plan {str(path)!r} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise BadRequest(f"{str(path)!r} is not a plan: {faults(error, 1)}") from None

    def generate(self, plan: Plan, *, control: bool = False) -> Result:
        """Draw a plan, one picture a mask row; with ``control`` also each seed without adapters.

        Raises BadRequest before anything is loaded if no base was chosen for the plan's family, or the outputs folder
        cannot be written.
        """
        from stylus_gen.tools.file import make_folder
        from stylus_gen.tools.generate import generate, within_limits

        if self.settings.base is None and plan.family != "world":
            raise BadRequest(f"the plan is for {plan.family} and no base is chosen: give --base or set STYLUS_BASE")
        settings = within_limits(self._render_settings(control), self._limits)
        make_folder(self.settings.outputs)

        pictures = generate(
            plan,
            pipeline=self.pipeline,
            files=self._files(a.adapter_id for a in plan.assignments),
            settings=settings,
            out_dir=self.settings.outputs,
            progress=self.progress,
            limits=self._limits,
        )
        drawn = [p for p in pictures if not p.recipe.control]
        return Result(
            images=[p.path for p in drawn],
            recipes=[p.recipe for p in drawn],
            controls=[p.path for p in pictures if p.recipe.control],
        )

    def replay(self, picture: str | Path) -> Replayed:
        """Make a picture again from the recipe inside it."""
        from stylus_gen.tools.diffusion.recipe import read_recipe
        from stylus_gen.tools.generate import replay, within_limits

        recipe = read_recipe(Path(picture))
        within_limits(recipe.settings, self._limits)
        files = self._files(a.adapter_id for a in recipe.plan.assignments)
        return replay(
            Path(picture),
            pipeline=self.pipeline,
            files=files,
            out_dir=self.settings.outputs,
            progress=self.progress,
            limits=self._limits,
        )

    @property
    def _limits(self) -> Limits:
        from stylus_gen.tools.generate import Limits

        return Limits(steps=self.settings.max_steps, pixels=self.settings.max_pixels)

    @cached_property
    def _context(self) -> AgentContext:
        from stylus_gen.agent.context import AgentContext
        from stylus_gen.tools.search import search_adapters
        from stylus_gen.tools.store.adapters import get_cards
        from stylus_gen.tools.store.database import read_again

        self._renew_index()

        def search(
            prompt: str, concepts: Sequence[Concept], family: str, policy: Policy, limit: int
        ) -> Mapping[str, Sequence[Candidate]]:
            return read_again(
                lambda: search_adapters(
                    self.database, self.embedder, prompt, concepts, family=family, policy=policy, limit=limit
                )
            )

        def cards(ids: Sequence[str]) -> list[Card]:
            return read_again(lambda: get_cards(self.database, ids))

        return AgentContext(search=search, cards=cards, planner=self.planner)

    def _render_settings(self, control: bool) -> RenderSettings:
        from stylus_gen.tools.generate import render_settings

        of = self.settings
        return render_settings(
            steps=of.steps,
            guidance=of.guidance,
            width=of.width,
            height=of.height,
            scheduler=of.scheduler,
            control=control,
        )

    def _files(self, ids: Iterable[str]) -> dict[str, Path]:
        from stylus_gen.tools.store.places import paths_of

        return paths_of(self.database, list(ids))

    def _stock(self, family: Family, base: str | None) -> None:
        """Make sure that the store holds adapters for a base; the shipped small world brings its own.

        Raises BadRequest if there is none.
        """
        from stylus_gen.tools.store.adapters import count_families

        if family == "world" and base is None:
            return self._bring_world()
        counts = count_families(self.database)
        if any(counts.get(usable) for usable in usable_families(family)):
            return
        have = ", ".join(f"{held} {n}" for held, n in counts.items()) or "nothing"
        raise BadRequest(
            f"the base is {family} and the store holds no adapter for it (it holds: {have}); "
            "import some with `stylus import FOLDER`, or choose another --base or --family"
        )

    def _renew_index(self) -> None:
        """Build the search index anew if another version of Stylus wrote it."""
        from stylus_gen.tools.search.index import renew_index

        renew_index(self.database, self.embedder, self.progress)

    def _bring_world(self) -> None:
        """Import the shipped adapters where the file of one is missing; looked at once, because every plan asks."""
        from stylus_gen.tools.store.places import used_paths
        from stylus_gen.world import adapter_stems, adapters_path

        if self._world_is_here:
            return
        shipped = list(adapter_stems())
        if len(used_paths(self.database, shipped)) < len(shipped):
            self.import_adapters(adapters_path())
        self._world_is_here = True


def _pasted_seed(prompt: object) -> int:
    """Read the seed that stands behind a pasted prompt; draw one at random where there is none."""
    from stylus_gen.tools.a1111 import parse_parameters

    pasted = parse_parameters(prompt).get("Seed", "") if isinstance(prompt, str) and len(prompt) <= MAX_RECIPE else ""
    return int(pasted) if re.fullmatch(r"\d{1,9}|[1-3]\d{9}", pasted) else secrets.randbits(32)
