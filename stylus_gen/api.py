"""The Python API. The command line and every other door call `Stylus` and nothing below it.

Nothing heavy is imported or opened before it is needed: planning does not import torch, search loads no base model.
One `Stylus` may serve many threads: it opens each resource once and keeps no state of a single call.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from stylus_gen.once import once
from stylus_gen.settings import Settings, read_settings
from stylus_gen.tools.card import Kind
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.progress import Progress, silent
from stylus_gen.tools.text import MAX_NAME, MAX_RECIPE, readable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stylus_gen.agent.context import AgentContext
    from stylus_gen.agent.planner import Planner
    from stylus_gen.agent.request import PlanRequest
    from stylus_gen.agent.threads.thread import Threads
    from stylus_gen.tools.card import Card
    from stylus_gen.tools.check import CheckReport
    from stylus_gen.tools.diffusion.recipe import Recipe
    from stylus_gen.tools.families import Family
    from stylus_gen.tools.generate import Pipeline, RenderSettings, Replayed
    from stylus_gen.tools.ingest import ImportSummary
    from stylus_gen.tools.plan import Candidate, Plan, Policy
    from stylus_gen.tools.search.audit import Audit
    from stylus_gen.tools.search.embed import Embedder
    from stylus_gen.tools.store.database import Database


@dataclass(frozen=True)
class Result:
    """The pictures of `Stylus.generate`, in the order of the plan's masks.

    ``controls`` are the pictures without adapters from the same seeds, where they were asked for.
    """

    images: list[Path]
    recipes: list[Recipe]
    controls: list[Path]


class Stylus:
    """Import and search adapters, plan prompts, draw plans.

    Keyword arguments are the fields of `Settings`; each overrides its ``STYLUS_*`` variable. ``progress`` is called by
    long work unless a call brings its own. ``database`` is an open database that replaces the one in the
    settings; the caller closes it. Use a `Stylus` in a ``with``. The embedded database stops when the last process that
    uses it exits.
    """

    def __init__(self, *, progress: Progress = silent, database: Database | None = None, **settings: Any) -> None:
        self.settings: Settings = read_settings(**settings)
        self.progress = progress
        self._given_database = database
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._stack.close()

    # The catalogue

    def import_adapters(self, path: str | Path, *, progress: Progress | None = None) -> ImportSummary:
        """Read a folder of adapters, or a file of Civitai model objects, into the store."""
        from stylus_gen.tools.ingest import import_adapters, write_problems

        if path == "":
            raise BadRequest("the path is empty: give a folder of LoRAs, or a file")
        summary = import_adapters(self.database, Path(path), embedder=self.embedder, progress=progress or self.progress)
        return write_problems(summary, self.settings.home.expanduser() / "import-problems.txt")

    def card(self, adapter: str) -> Card:
        """Read one card by id, hash or name."""
        from stylus_gen.tools.store.adapters import get_card

        return get_card(self.database, readable(adapter, "the adapter's name", MAX_NAME))

    def search(
        self,
        text: str,
        *,
        kind: str | None = None,
        limit: int = 10,
        policy: Policy | None = None,
        progress: Progress | None = None,
    ) -> list[Candidate]:
        """Find adapters for one concept or a whole prompt, best first."""
        from stylus_gen.tools.a1111 import split_parts
        from stylus_gen.tools.plan import WHOLE
        from stylus_gen.tools.search import search_adapters

        if kind is not None and kind not in get_args(Kind):
            raise BadRequest(f"no kind is called {kind!r}; the kinds are {', '.join(get_args(Kind))}")
        if limit < 1:
            raise BadRequest(f"{limit} adapters cannot be listed: ask for 1 or more")
        what = "the text to search for"
        text = readable(split_parts(readable(text, what, MAX_RECIPE)).prompt, what)
        self._require_adapters(self.family, self.settings.base, progress or self.progress)
        self._renew_index(progress or self.progress)
        kinds = [kind] if kind else None
        policy = policy or self.settings.policy
        found = search_adapters(
            self.database, self.embedder, text, [], family=self.family, policy=policy, limit=limit, kinds=kinds
        )
        return list(found[WHOLE])

    def index(self, family: str | None = None, *, progress: Progress | None = None) -> tuple[int, float]:
        """Build the approximate vector index of a large family (100,000 adapters or more), by default the base's.

        Returns the number of adapters in it and its recall: the share of the 60 nearest that it finds for 50 samples.
        """
        from stylus_gen.tools.search.nearest import build_index, recall_of, sample_vectors

        family = family or self.family
        held = build_index(self.database, family, progress or self.progress)
        return held, recall_of(self.database, family, sample_vectors(self.database, family, 50), 60)

    def check_index(self, *, progress: Progress | None = None) -> Audit:
        """Compare the search index with the cards it was built from."""
        from stylus_gen.tools.search.audit import check_index

        return check_index(self.database, progress or self.progress)

    def rebuild_index(self, *, progress: Progress | None = None) -> None:
        """Delete the search index and build it again from the cards."""
        from stylus_gen.tools.search.index import rebuild_index

        rebuild_index(self.database, self.embedder, progress or self.progress)

    # Plans

    def plan(self, prompt: str, *, images: int = 1, seed: int | None = None, **more: Any) -> Plan:
        """Choose adapters, weights and masks for a prompt, with reasons. Takes the arguments of `request`."""
        return self.plan_request(self.request(prompt, images=images, seed=seed, **more))

    def request(
        self,
        prompt: str,
        *,
        images: int = 1,
        seed: int | None = None,
        progress: Progress | None = None,
        **more: Any,
    ) -> PlanRequest:
        """Make a request, for `plan_request` and ``threads.plan``. The settings fill in what is not given.

        ``more`` are the other fields of `PlanRequest`, ``policy`` and ``budget`` among them; ``pinned`` and ``banned``
        are adapters by id, hash or name. Without ``seed`` one is drawn at random. Raises BadRequest naming each wrong
        field.
        """
        from stylus_gen.request import make_request, resolve_adapters

        request = make_request(prompt, {**more, "images": images, "seed": seed}, self.settings, lambda: self.family)
        self._require_adapters(request.family, request.base, progress or self.progress)
        return resolve_adapters(request, lambda adapter: self.card(adapter).id)

    def plan_request(self, request: PlanRequest) -> Plan:
        """Plan a request."""
        from stylus_gen.agent.graph import plan_prompt

        return plan_prompt(request, self.context)

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

    def read_plan(self, path: str | Path) -> Plan:
        """Read a plan that `Plan.model_dump_json` wrote. Raises BadRequest for any other file."""
        from stylus_gen.tools.plan_file import read_plan

        return read_plan(path)

    def check(self, recipe: str | Path | Plan, *, policy: Policy | None = None) -> CheckReport:
        """Check a recipe made by hand against the rules of planning.

        ``recipe`` is a `Plan`, the path of a plan or of a PNG, or a prompt with ``<lora:name:weight>`` tags.
        """
        from stylus_gen.tools.check import check_recipe
        from stylus_gen.tools.recipe_input import read_recipe_input

        prompt, uses, family = read_recipe_input(recipe)
        policy = policy or self.settings.policy
        return check_recipe(prompt, uses, self.card, family=family or self.family, policy=policy)

    def explain(self, plan: Plan, adapter: str | None = None) -> list[str]:
        """Say why a plan chose or refused an adapter (by id or name); without one, why it did so with each."""
        from stylus_gen.tools.explain import explain_plan

        return explain_plan(plan, adapter)

    def export(self, plan: Plan, form: str, *, image: int = 0) -> str:
        """Write one image of a plan for another program: ``a1111``, ``comfyui``, ``diffusers`` or ``json``.

        Raises BadRequest for an unknown form, a missing image, a family that the form cannot draw, or an adapter whose
        file has no name.
        """
        from stylus_gen.tools.diffusion.base import declaration
        from stylus_gen.tools.export import export_plan, file_of
        from stylus_gen.tools.store.adapters import get_cards

        cards = get_cards(self.database, [a.adapter_id for a in plan.assignments])
        base = plan.base or self.settings.base or (self.base if plan.family == "world" else f"your-{plan.family}-base")
        render = self.settings.render
        if Path(base).is_dir():
            render = render.over(declaration(base).defaults)
        files = {card.id: file_of(card) for card in cards}
        return export_plan(plan, form, files, base=base, settings=render, image=image)

    # Pictures

    def generate(
        self,
        plan: Plan,
        *,
        control: bool = False,
        render: RenderSettings | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Draw a plan, one picture for each mask row; with ``control`` also each seed without adapters.

        A field of ``render`` that is ``None`` is taken from the settings or, if they lack it, from the base. Raises
        BadRequest, before it loads a base, if none was chosen for the plan's family or the outputs folder is read-only.
        """
        from stylus_gen.tools.file import make_folder
        from stylus_gen.tools.generate import generate, within_limits

        of = self.settings
        if of.base is None and plan.family != "world":
            raise BadRequest(f"the plan is for {plan.family} and no base is chosen: give --base or set STYLUS_BASE")
        chosen = render.over(of.render) if render else of.render
        chosen = within_limits(chosen.model_copy(update={"control": control or chosen.control}), of.limits)
        make_folder(of.outputs)
        pictures = generate(
            plan,
            pipeline=self._load_base(progress or self.progress),
            files=self._files(a.adapter_id for a in plan.assignments),
            settings=chosen,
            out_dir=of.outputs,
            progress=progress or self.progress,
            limits=of.limits,
        )
        drawn = [p for p in pictures if not p.recipe.control]
        return Result(
            images=[p.path for p in drawn],
            recipes=[p.recipe for p in drawn],
            controls=[p.path for p in pictures if p.recipe.control],
        )

    def replay(self, picture: str | Path, *, progress: Progress | None = None) -> Replayed:
        """Draw a picture again from the recipe inside it."""
        from stylus_gen.tools.diffusion.recipe import read_recipe
        from stylus_gen.tools.generate import replay, within_limits

        recipe = read_recipe(Path(picture))
        within_limits(recipe.settings, self.settings.limits)
        return replay(
            Path(picture),
            pipeline=self._load_base(progress or self.progress),
            files=self._files(a.adapter_id for a in recipe.plan.assignments),
            out_dir=self.settings.outputs,
            progress=progress or self.progress,
            limits=self.settings.limits,
        )

    # What is opened, each at its first use

    @property
    @once
    def database(self) -> Database:
        """The adapter store."""
        from stylus_gen.tools.store.database import open_database

        if self._given_database:
            return self._given_database
        url = self.settings.database_url.get_secret_value() if self.settings.database_url else None
        return self._stack.enter_context(open_database(url, self.settings.home.expanduser()))

    @property
    @once
    def embedder(self) -> Embedder:
        """The text embedder."""
        from stylus_gen.tools.search.embed import minilm

        return minilm()

    @property
    @once
    def planner(self) -> Planner:
        """The chat model, or the offline rules."""
        from stylus_gen.agent.model.chat_model import open_planner
        from stylus_gen.agent.model.modes import Modes

        of = self.settings
        return open_planner(
            of.model,
            base_url=of.model_base_url,
            api_key=of.model_api_key.get_secret_value() if of.model_api_key else None,
            modes=Modes(of.home.expanduser() / "models.json"),
        )

    @property
    @once
    def threads(self) -> Threads:
        """The plans kept by name; they outlive the process."""
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

        from stylus_gen.agent.threads.thread import STORED, Threads

        serde = JsonPlusSerializer(allowed_msgpack_modules=STORED)
        saver = PostgresSaver(self.database.pool, serde=serde)  # type: ignore[arg-type]  # it sets its own row factory
        saver.setup()
        return Threads(saver, self.context)

    @property
    def base(self) -> str:
        """The base model's folder or hub id: the one that is set, else the small world's."""
        from stylus_gen.world import base_path

        return self.settings.base or str(base_path())

    @property
    @once
    def family(self) -> Family:
        """The base's family, read without loading the base. Raises BadRequest where it cannot be recognised."""
        from stylus_gen.tools.diffusion.base import base_family

        return self.settings.family or base_family(self.base)[0]

    @property
    def pipeline(self) -> Pipeline:
        """The base model, ready to draw."""
        return self._load_base(self.progress)

    @once
    def _load_base(self, progress: Progress) -> Pipeline:
        from stylus_gen.tools.diffusion.pipeline import load_base

        of = self.settings
        return load_base(self.base, device=of.device, dtype=of.dtype, family=of.family, progress=progress)

    @property
    @once
    def context(self) -> AgentContext:
        """What the planning graph depends on, for LangGraph programs that hold it as a subgraph."""
        from stylus_gen.context import agent_context

        self._renew_index(self.progress)
        return agent_context(self.database, self.embedder, self.planner)

    def _files(self, ids: Iterable[str]) -> dict[str, Path]:
        from stylus_gen.tools.store.places import paths_of

        return paths_of(self.database, list(ids))

    def _require_adapters(self, family: Family, base: str | None, progress: Progress) -> None:
        """Raise BadRequest if the store holds no adapter for a base; the small world's are imported first."""
        from stylus_gen.stock import require_adapters

        if family == "world" and base is None:
            self._import_world(progress)
        else:
            require_adapters(self.database, family)

    @once
    def _import_world(self, progress: Progress) -> None:
        from stylus_gen.stock import holds_world
        from stylus_gen.world import adapters_path

        if not holds_world(self.database):
            self.import_adapters(adapters_path(), progress=progress)

    def _renew_index(self, progress: Progress) -> None:
        """Build the search index again if another version of Stylus wrote it."""
        from stylus_gen.tools.search.index import renew_index

        renew_index(self.database, self.embedder, progress)
