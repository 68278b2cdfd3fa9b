"""The prompt and the adapters that a picture's file records, whichever program wrote it.

A1111 and compatible programs write text (a1111.py), ComfyUI a graph of nodes, InvokeAI, SwarmUI and Fooocus a JSON
record. Strangers wrote them: nothing in them is used as a path, and their length is limited.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from stylus_gen.tools.a1111 import Use, read_a1111
from stylus_gen.tools.diffusion.png import read_texts, whose
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.stem import stem_of
from stylus_gen.tools.text import MAX_RECIPE, readable

Recipe = tuple[str, list[Use]]
"""A prompt without tags, and the adapters."""


def read_picture(path: Path) -> Recipe:
    """Read a picture's prompt, without its ``<lora:…>`` tags, and its adapters.

    Raises BadRequest where there is none that Stylus can read; the error says what is there instead.
    """
    texts = read_texts(path)
    where = f"the recipe in {path.name!r}"
    for keyword, read in _READERS.items():
        if keyword in texts:
            recipe = read(texts[keyword].text, where)
            if any(recipe):
                return recipe
    raise BadRequest(f"{path.name!r} holds no recipe that Stylus can read: {whose(texts)}")


def _read_text(text: str, where: str) -> Recipe:
    """Read a JSON record or A1111's text."""
    if record := _json(text):
        return _read_record(record, where)
    return read_a1111(readable(text, where, MAX_RECIPE))


def _json(text: str) -> dict[str, Any]:
    """Read a JSON object; any other text gives an empty one."""
    try:
        read = from_json(text) if text.lstrip().startswith("{") else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _join(prompts: list[str], uses: list[Use], where: str) -> Recipe:
    """Join the prompts, and add the adapters that their tags name. An adapter named twice counts once."""
    prompt, tagged = read_a1111(readable(", ".join(dict.fromkeys(prompts)), where, MAX_RECIPE))
    return prompt, list({use.name: use for use in [*tagged, *uses]}.values())


# InvokeAI, SwarmUI, Fooocus


def _read_record(record: Mapping[str, Any], where: str) -> Recipe:
    """Read ``positive_prompt`` or ``prompt`` and ``loras``: objects, lists of name and weight, or names."""
    for inner in ("sui_image_params", "image"):
        if isinstance(record.get(inner), Mapping):
            record = record[inner]
    given = next((record[key] for key in ("positive_prompt", "prompt") if record.get(key)), None)
    prompts = list(_strings(given))
    weights = record.get("loraweights")
    uses = []
    for number, lora in enumerate(_list(record.get("loras"))):
        beside = weights[number] if isinstance(weights, list) and number < len(weights) else None
        uses += _use(lora, beside)
    return _join(prompts, uses, where)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _strings(part: object) -> Iterator[str]:
    """List a text, or those in a list of objects with a ``prompt``, as early versions of InvokeAI wrote them."""
    for item in part if isinstance(part, list) else [part]:
        text = item.get("prompt") if isinstance(item, Mapping) else item
        if isinstance(text, str):
            yield text


def _use(lora: object, beside: object) -> list[Use]:
    if isinstance(lora, Mapping):
        model = next((lora[key] for key in ("model", "lora") if isinstance(lora.get(key), Mapping)), lora)
        name = next((model[key] for key in ("name", "model_name", "key") if model.get(key)), None)
        weight = lora.get("weight")
    else:
        name, weight, *_ = [*_list(lora), None, None] if isinstance(lora, list) else [lora, beside]
    return [Use(stem_of(name), _number(weight))] if isinstance(name, str) else []


def _number(value: object) -> float:
    """Read a weight; where there is no number (a wire in a graph, nothing) it is 1."""
    try:
        weight = float(value) if isinstance(value, int | float | str) else 1.0
    except (ValueError, OverflowError):
        return 1.0
    return weight if math.isfinite(weight) else 1.0


# ComfyUI: {"3": {"class_type": "KSampler", "inputs": {"positive": ["6", 0], …}}, …}

_LORA = re.compile(r"lora(?:_name)?(_?\d+)?$")
_STRENGTHS = ("strength_model", "model_strength", "strength", "lora_strength", "model_weight", "lora_wt", "model_str")
_TEXTS = {"text", "text_g", "text_l", "t5xxl", "clip_l", "prompt", "positive", "string", "value", "wildcard_text"}
_ELSEWHERE = {
    "negative",
    "model",
    "clip",
    "vae",
    "latent_image",
    "samples",
    "image",
    "mask",
    "control_net",
    "lora_stack",
}

Inputs = Mapping[str, Any]


def _read_graph(text: str, where: str) -> Recipe:
    nodes: dict[str, Inputs] = {
        name: node["inputs"]
        for name, node in _json(text).items()
        if isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping)
    }
    uses = [use for inputs in nodes.values() for use in _loaded(inputs)]
    return _join(_positive(nodes), uses, where)


def _loaded(inputs: Inputs) -> Iterator[Use]:
    """List the adapters that a node loads: ``lora_name`` and ``strength_model``, numbered, or an object of both."""
    for key, value in inputs.items():
        if isinstance(value, Mapping):
            if isinstance(value.get("lora"), str) and value.get("on", True):
                yield Use(stem_of(value["lora"]), _number(value.get("strength")))
        elif (match := _LORA.match(key)) and isinstance(value, str) and value != "None":
            number = match[1] or ""
            if inputs.get(f"switch{number}") != "Off":
                weights = (inputs[f"{name}{number}"] for name in _STRENGTHS if f"{name}{number}" in inputs)
                yield Use(stem_of(value), _number(next(weights, None)))


def _positive(nodes: Mapping[str, Inputs]) -> list[str]:
    """Follow the wires from a sampler's ``positive`` input back to the texts they come from."""
    texts: list[str] = []
    ends, left = deque(_wires(nodes, "positive") or _wires(nodes, "conditioning")), dict(nodes)
    while ends:
        end = ends.popleft()
        if isinstance(end, str):
            texts.append(end)
        elif isinstance(end, list) and end and (inputs := left.pop(str(end[0]), None)):
            wires = [v for name, v in inputs.items() if isinstance(v, list) and name not in _ELSEWHERE]
            ends += [*wires, *(v for name, v in inputs.items() if name in _TEXTS and isinstance(v, str))]
    return texts


def _wires(nodes: Mapping[str, Inputs], name: str) -> list[Any]:
    return [inputs[name] for inputs in nodes.values() if name in inputs]


_READERS: dict[str, Callable[[str, str], Recipe]] = {
    "invokeai_metadata": _read_text,
    "sd-metadata": _read_text,
    "parameters": _read_text,
    "prompt": _read_graph,
    "Dream": _read_text,
}
"""The keywords of texts that hold a recipe; the first one that holds something is used."""
