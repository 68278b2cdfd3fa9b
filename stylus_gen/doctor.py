"""`stylus doctor`: what is configured, what is missing, how to get it. Opens the database; never calls a paid model."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from http.client import HTTPException
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.request import Request, urlopen

from stylus_gen.tools.address import read_address
from stylus_gen.tools.deadline import within
from stylus_gen.tools.errors import StylusError
from stylus_gen.tools.store.facts import read_facts
from stylus_gen.tools.text import clean_text

if TYPE_CHECKING:
    from stylus_gen.api import Stylus
    from stylus_gen.settings import Settings

SECONDS = 5.0
"""How long a model server may take to list its models."""

MAX_BYTES = 2**20
SHOWN = 20

KEYS = {"openai": "OPENAI_API_KEY"}


class Diagnosis(NamedTuple):
    """The state of one part, and what to do about it."""

    what: str
    state: Literal["ok", "note", "missing"]
    detail: str
    to_do: str = ""


def diagnose(stylus: Stylus) -> list[Diagnosis]:
    """Check everything that plans and pictures need."""
    return [
        Diagnosis("stylus", "ok", f"{version('stylus-gen')}, Python {platform.python_version()}"),
        *_database(stylus),
        _model(stylus.settings),
        _base(stylus),
        _device(stylus.settings),
    ]


def _database(stylus: Stylus) -> Iterator[Diagnosis]:
    kind = "STYLUS_DATABASE_URL" if stylus.settings.database_url else f"embedded in {stylus.settings.home}"
    try:
        facts = read_facts(stylus.database)
    except StylusError as error:
        yield Diagnosis("database", "missing", kind, error.message)
        return
    yield Diagnosis("database", "ok", f"PostgreSQL {facts.server}, pgvector {facts.pgvector}, {kind}")
    if facts.families:
        counts = ", ".join(f"{family} {count}" for family, count in facts.families.items())
        yield Diagnosis("adapters", "ok", f"{counts}; files here: {facts.installed}")
    elif stylus.settings.base is None and stylus.settings.family in (None, "world"):
        yield Diagnosis("adapters", "note", "none yet", "the small world's are imported when they are first needed")
    else:
        yield Diagnosis("adapters", "missing", "the store is empty", "stylus import FOLDER")


def _model(settings: Settings) -> Diagnosis:
    if settings.model == "offline":
        return Diagnosis("model", "ok", "offline: plans are made by rules", "set STYLUS_MODEL for a chat model")
    provider = settings.model.partition(":")[0]
    if provider == "litellm" and not find_spec("litellm"):
        return Diagnosis("model", "missing", settings.model, "pip install 'stylus-gen[litellm]'")
    if settings.model_base_url:
        return _reach(settings)
    key = KEYS.get(provider)
    if key and not settings.model_api_key and key not in os.environ:
        return Diagnosis("model", "missing", settings.model, f"set {key} or STYLUS_MODEL_API_KEY")
    return Diagnosis("model", "ok", settings.model)


def _reach(settings: Settings) -> Diagnosis:
    try:
        at = read_address(settings.model_base_url or "")
    except StylusError as error:
        return Diagnosis("model", "missing", settings.model, error.message)
    secret = settings.model_api_key.get_secret_value() if settings.model_api_key else "none"
    request = Request(f"{at.public}/models{at.query}", headers={"Authorization": at.login or f"Bearer {secret}"})
    try:
        names = _served(within(SECONDS, lambda: _fetch(request)))
    except (OSError, HTTPException) as error:
        why = clean_text(str(getattr(error, "reason", error)), 200)  # urllib wraps the cause
        to_do = "start the server or correct the address"
        return Diagnosis("model", "missing", f"{settings.model} at {at.public}/models: {why}", to_do)
    except (ValueError, RecursionError):
        detail = f"{settings.model} at {at.public}/models: the answer is not a list of models"
        return Diagnosis("model", "missing", detail, "give the address of an OpenAI-compatible server, often with /v1")
    return Diagnosis("model", "ok", f"{settings.model} at {at.public}; it serves {', '.join(names) or 'no model'}")


def _fetch(request: Request) -> Any:
    with urlopen(request, timeout=SECONDS) as reply:
        return json.loads(reply.read(MAX_BYTES))


def _served(answer: Any) -> list[str]:
    """Read the names of models. Raises ValueError where the answer has another form."""
    models = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        raise ValueError("no list of models")
    names = [clean_text(str(model.get("id")), 80) for model in models if isinstance(model, dict)]
    return names[:SHOWN] + (["…"] if len(names) > SHOWN else [])


def _base(stylus: Stylus) -> Diagnosis:
    try:
        base, family = stylus.base, stylus.family
    except StylusError as error:
        return Diagnosis("base", "missing", stylus.settings.base or "none", error.message)
    if not Path(base).exists():
        return Diagnosis("base", "note", f"{base}, family {family}", "not a folder: fetched from the hub when used")
    return Diagnosis("base", "ok", f"{base}, family {family}")


def _device(settings: Settings) -> Diagnosis:
    if not find_spec("torch"):
        return Diagnosis("device", "missing", "torch is not installed", f"{sys.executable} -m pip install torch")
    import torch

    if settings.device:
        return Diagnosis("device", "ok", settings.device)
    if torch.cuda.is_available():
        return Diagnosis("device", "ok", f"cuda: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Diagnosis("device", "ok", "mps")
    threads = torch.get_num_threads()
    return Diagnosis("device", "note", f"cpu, {threads} threads", "fine for the small world; large bases want a GPU")
