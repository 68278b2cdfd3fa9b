"""The one door to chat models: ``openai:NAME`` (any OpenAI-compatible server), ``litellm:NAME``, ``offline``.

Nothing is imported before a model is opened. Retries are ours: a failed call is counted against the budget, so the
clients' own are off.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stylus_gen.agent.offline import OFFLINE
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.state import Mode
from stylus_gen.tools.address import read_address
from stylus_gen.tools.errors import BadRequest, Unavailable

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

ANSWER = 1500
"""Tokens of one answer: a model that never stops is cut here."""

remote_allowed = True
"""Tests set it to False: then only models on this machine's loopback can be opened."""


def open_planner(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    modes: MutableMapping[str, Mode] | None = None,
) -> Planner:
    """Open the planner of a name; ``modes`` remembers between runs how a model is best spoken to."""
    if name == "offline":
        return OFFLINE
    from stylus_gen.agent.model.ask import chat_planner

    model = open_chat_model(name, base_url=base_url, api_key=api_key)
    server = read_address(base_url).public if base_url else ""
    return chat_planner(model, name, {} if modes is None else modes, f"{name} {server}".strip())


def open_chat_model(name: str, *, base_url: str | None = None, api_key: str | None = None) -> BaseChatModel:
    """Open a chat model by ``provider:model``.

    Raises BadRequest for another provider, Unavailable where a package or a key is missing.
    """
    provider, _, model = name.partition(":")
    if provider not in ("openai", "litellm") or not model:
        raise BadRequest(f"the model is {name!r}; expected openai:NAME, litellm:NAME or offline")
    if not remote_allowed and urlsplit(base_url or "").hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Unavailable(f"{name!r} is not on this machine, and model calls that leave it are switched off")
    if base_url:
        read_address(base_url)
    from langchain.chat_models import init_chat_model

    options = _litellm(name, base_url, api_key) if provider == "litellm" else _openai(name, base_url, api_key)
    opened: BaseChatModel = init_chat_model(model, model_provider=provider, max_tokens=ANSWER, **options)
    return opened


def _openai(name: str, base_url: str | None, api_key: str | None) -> dict[str, Any]:
    if base_url:
        # Never the key of OPENAI_API_KEY: it is not meant for this server. Local servers read the older max_tokens.
        return {
            "max_retries": 0,
            "base_url": base_url,
            "api_key": api_key or "none",
            "temperature": 0,
            "extra_body": {"max_tokens": ANSWER},
            "stream_usage": True,
        }
    key = api_key or os.environ.get("OPENAI_API_KEY")
    if not key:
        raise Unavailable(
            f"{name!r} needs a key; set STYLUS_MODEL_API_KEY, or STYLUS_MODEL_BASE_URL for your own server"
        )
    return {"max_retries": 0, "api_key": key}


def _litellm(name: str, base_url: str | None, api_key: str | None) -> dict[str, Any]:
    if importlib.util.find_spec("langchain_litellm") is None:
        raise Unavailable(f"{name!r} needs litellm, which is not installed: pip install 'stylus-gen[litellm]'")
    # Read on import: otherwise it fetches a price list from the network, and a .env file from the working directory.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True  # it prints advice to the terminal with every error
    given = {key: value for key, value in {"api_base": base_url, "api_key": api_key}.items() if value}
    # Here 1 is a number of attempts; the client below it would try twice more by itself.
    return {"max_retries": 1, "model_kwargs": {"max_retries": 0, "num_retries": 0}, **given}
