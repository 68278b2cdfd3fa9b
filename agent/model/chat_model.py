"""Opens chat models: ``openai:NAME`` (any OpenAI-compatible server), ``litellm:NAME``, ``offline``.

A client library is imported when its model is opened. The agent retries and counts each failed call against the
budget, so the clients' own retries are off.
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

ANSWER_TOKENS = 1500
"""The most tokens of one answer; without it a model can write endlessly."""

remote_allowed = True
"""Tests set it to False: then only models on the loopback address can be opened."""


def open_planner(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    modes: MutableMapping[str, Mode] | None = None,
) -> Planner:
    """Open a planner by its name. ``modes`` stores between runs the kind of output that each model can produce."""
    if name == "offline":
        return OFFLINE
    from stylus_gen.agent.model.ask import chat_planner

    model = open_chat_model(name, base_url=base_url, api_key=api_key)
    server = read_address(base_url).public if base_url else ""
    return chat_planner(model, name, {} if modes is None else modes, f"{name} {server}".strip())


def open_chat_model(name: str, *, base_url: str | None = None, api_key: str | None = None) -> BaseChatModel:
    """Open a chat model by ``provider:model``.

    Raises BadRequest for another provider, Unavailable if a package or a key is missing.
    """
    provider, _, model = name.partition(":")
    if provider not in ("openai", "litellm") or not model:
        raise BadRequest(f"the model is {name!r}; expected openai:NAME, litellm:NAME or offline")
    if not remote_allowed and urlsplit(base_url or "").hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Unavailable(f"{name!r} is not on this machine, and calls to other machines are switched off")
    if base_url:
        read_address(base_url)
    return _litellm(name, base_url, api_key) if provider == "litellm" else _openai(name, base_url, api_key)


def _openai(name: str, base_url: str | None, api_key: str | None) -> BaseChatModel:
    key = api_key or (None if base_url else os.environ.get("OPENAI_API_KEY"))
    if not key and not base_url:
        raise Unavailable(
            f"{name!r} needs a key; set STYLUS_MODEL_API_KEY, or STYLUS_MODEL_BASE_URL for your own server"
        )
    from langchain_openai import ChatOpenAI

    given: dict[str, Any] = {"model": name.partition(":")[2], "max_tokens": ANSWER_TOKENS}
    given |= {"max_retries": 0, "api_key": key}
    if base_url:
        # OPENAI_API_KEY belongs to OpenAI and is never sent to another server. Local servers read the older max_tokens.
        given |= {"base_url": base_url, "api_key": key or "none", "temperature": 0}
        given |= {"extra_body": {"max_tokens": ANSWER_TOKENS}, "stream_usage": True}
    return ChatOpenAI(**given)


def _litellm(name: str, base_url: str | None, api_key: str | None) -> BaseChatModel:
    if importlib.util.find_spec("langchain_litellm") is None:
        raise Unavailable(f"{name!r} needs litellm, which is not installed: pip install 'stylus-gen[litellm]'")
    # litellm reads these on import. Without them it downloads a price list and loads a .env of the working directory.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True  # otherwise it prints advice with every error
    given = {key: value for key, value in {"api_base": base_url, "api_key": api_key}.items() if value}
    model: BaseChatModel = importlib.import_module("langchain_litellm").ChatLiteLLM(
        model=name.partition(":")[2],
        max_tokens=ANSWER_TOKENS,
        max_retries=1,  # the number of attempts; the OpenAI client's own two retries are off
        model_kwargs={"max_retries": 0, "num_retries": 0},
        **given,
    )
    return model
