"""Anybody's picture as `stylus check` reads it: which program wrote it, its prompt and its adapters."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from stylus_gen.tools.a1111 import Use
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.picture import read_picture
from tests.test_recipe import png, save

HEADER = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
END = (b"IEND", b"")
COMFY: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "base.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "anime/Fox_v1.safetensors", "strength_model": 0.7,
                                                 "strength_clip": 1, "model": ["1", 0], "clip": ["1", 1]}},
    "3": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "sub\\ink.safetensors", "strength_model": 1}},
    "4": {"class_type": "Power Lora Loader (rgthree)",
          "inputs": {"lora_1": {"on": True, "lora": "snow.safetensors", "strength": 0.5},
                     "lora_2": {"on": False, "lora": "off.safetensors", "strength": 1}}},
    "5": {"class_type": "CR LoRA Stack", "inputs": {"switch_1": "On", "lora_name_1": "one.safetensors",
          "model_weight_1": 0.4, "switch_2": "Off", "lora_name_2": "two.safetensors", "lora_name_3": "None"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9", 0], "clip": ["2", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog, blurry", "clip": ["2", 1]}},
    "8": {"class_type": "KSampler", "inputs": {"positive": ["6", 0], "negative": ["7", 0], "seed": 1}},
    "9": {"class_type": "PrimitiveString", "inputs": {"value": "a fox <lora:tagged:0.3>"}},
}  # fmt: skip
INVOKE = {
    "positive_prompt": "a fox",
    "negative_prompt": "a dog",
    "loras": [{"model": {"key": "x", "name": "Fox_v1"}, "weight": 0.7}, {"lora": {"model_name": "ink"}, "weight": 1}],
}
SWARM = {"sui_image_params": {"prompt": "a fox", "loras": ["Fox_v1"], "loraweights": ["0.7"]}}
FOOOCUS = {"prompt": "a fox", "loras": [["Fox_v1.safetensors", 0.7, "abc"], ["ink", 1.0]]}


def test_a_picture_of_comfyui_is_read_by_its_wires(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", prompt=json.dumps(COMFY), workflow="{}")
    prompt, uses = read_picture(path)
    assert prompt == "a fox"
    assert set(uses) == {
        Use("Fox_v1", 0.7), Use("ink", 1.0), Use("snow", 0.5), Use("one", 0.4), Use("tagged", 0.3)
    }  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        {"invokeai_metadata": json.dumps(INVOKE)},
        {"parameters": json.dumps(SWARM)},
        {"parameters": json.dumps(FOOOCUS)},
        {"sd-metadata": json.dumps({"image": {"prompt": [{"prompt": "a fox"}], "loras": [["Fox_v1", 0.7]]}})},
        {"parameters": "a fox <lora:Fox_v1:0.7>\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a"},
    ],
    ids=["invokeai", "swarmui", "fooocus", "old invokeai", "a1111"],
)
def test_pictures_of_other_programs_are_read(tmp_path: Path, texts: dict[str, str]) -> None:
    prompt, uses = read_picture(save(tmp_path / "a.png", **texts))
    assert prompt == "a fox"
    assert uses[0] == Use("Fox_v1", 0.7)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({}, "it has no text"),
        ({"workflow": "{}"}, "made by ComfyUI"),
        ({"invokeai_graph": "{}"}, "made by InvokeAI"),
        ({"Software": "NovelAI", "Comment": "{}"}, "NovelAI"),
        ({"Title": "x", "date:create": "2026"}, "'Title', 'date:create'"),
    ],
)
def test_a_picture_without_a_recipe_says_whose_it_is(tmp_path: Path, texts: dict[str, str], says: str) -> None:
    with pytest.raises(BadRequest, match="holds no recipe that Stylus can read") as refused:
        read_picture(save(tmp_path / "a.png", **texts))
    assert says in refused.value.message
    assert "stripped" not in refused.value.message


def test_text_behind_the_pixels_and_packed_text_are_read(tmp_path: Path) -> None:
    pixels = (b"IDAT", zlib.compress(b"\0" * 200))
    for text in (
        (b"tEXt", b"parameters\0a fox <lora:Fox:1>"),
        (b"zTXt", b"parameters\0\0" + zlib.compress(b"a fox <lora:Fox:1>")),
        (b"iTXt", b"parameters\0\0\0\0\0a fox <lora:Fox:1>"),
        (b"iTXt", b"parameters\0\1\0en\0x\0" + zlib.compress(b"a fox <lora:Fox:1>")),
    ):
        (tmp_path / "a.png").write_bytes(png(HEADER, pixels, text, END))
        assert read_picture(tmp_path / "a.png") == ("a fox", [Use("Fox", 1.0)])


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": "a " * 100_000},
        {"parameters": "[" * 200_000},
        {"parameters": "a" + " " * 49_000 + "<lora:x:1>"},
        {"parameters": '{"a":' * 200_000},
        {"prompt": '{"1": ' * 100_000},
        {"prompt": json.dumps({str(n): {"inputs": {"positive": [str(n + 1), 0]}} for n in range(20_000)})},
        {"prompt": json.dumps({"1": {"inputs": {"positive": ["1", 0], "text": "x" * 100_000}}})},
        {"prompt": json.dumps({str(n): {"inputs": {"lora_name": f"x{n}"}} for n in range(20_000)})},
        {"invokeai_metadata": json.dumps({"prompt": "a\0b", "loras": [None, {}, {"model": 3}, [], [1], "x"]})},
    ],
    ids=["long", "brackets", "blanks", "deep", "deep graph", "chain", "loop", "many", "odd"],
)
def test_a_hostile_recipe_is_read_or_refused_at_once(tmp_path: Path, texts: dict[str, str]) -> None:
    path = save(tmp_path / "a.png", **texts)
    started = time.process_time()
    with contextlib.suppress(BadRequest):
        read_picture(path)
    assert time.process_time() - started < 1


def test_a_graph_that_names_nothing_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="made by ComfyUI"):
        read_picture(save(tmp_path / "a.png", prompt="{}"))


def test_a_pipe_that_is_called_png_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(BadRequest, match="not a file"):
        read_picture(tmp_path / "a.png")


def test_a_text_that_is_too_long_to_read_is_called_so(tmp_path: Path) -> None:
    text = (b"tEXt", b"parameters\0" + b"x" * 5_000_000)
    (tmp_path / "a.png").write_bytes(png(HEADER, text, END))
    with pytest.raises(BadRequest, match="'parameters' is longer than"):
        read_picture(tmp_path / "a.png")
