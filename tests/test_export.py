"""Plans for people who draw elsewhere: what is written draws the same adapters at the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylus_gen import Plan, Stylus
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.export import FORMS, AdapterFile, export_plan


@pytest.fixture
def stylus(database_url: str, tmp_path: Path) -> Iterator[Stylus]:
    with Stylus(database_url=database_url, home=tmp_path, outputs=tmp_path / "pictures", steps=3) as opened:
        yield opened


def test_check_finds_in_the_a1111_text_what_the_plan_holds(stylus: Stylus) -> None:
    plan = stylus.plan("a penguin, glossy 3D style", seed=7, images=2)
    assert plan.assignments
    text = stylus.export(plan, "a1111", image=1)
    assert "<lora:" in text and "Seed: 8" in text
    report = stylus.check(text)
    assert [f for f in report.findings if f.level == "error"] == []
    from stylus_gen.tools.a1111 import read_a1111

    prompt, uses = read_a1111(text)
    assert prompt == plan.final_prompt
    found = [(stylus.card(use.hash or use.name).id, use.weight) for use in uses]
    assert found == [(a.adapter_id, pytest.approx(a.weight)) for a in plan.assignments]


def test_the_diffusers_script_draws_what_stylus_draws(stylus: Stylus, tmp_path: Path) -> None:
    plan = stylus.plan("a penguin, glossy 3D style", seed=7)
    script = stylus.export(plan, "diffusers")
    (tmp_path / "draw.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, "draw.py"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    theirs = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"), int)
    ours = np.asarray(Image.open(stylus.generate(plan).images[0]).convert("RGB"), int)
    assert np.abs(theirs - ours).max() <= 2  # of 255: the sums are rounded in another order


def test_the_comfyui_workflow_loads_each_adapter_and_is_wired_to_the_end() -> None:
    plan = made(family="sdxl", weights=(0.8, 0.5))
    nodes = json.loads(export_plan(plan, "comfyui", FILES, base="anything.safetensors"))
    loras = [node["inputs"] for node in nodes.values() if node["class_type"] == "LoraLoader"]
    assert [(lora["lora_name"], lora["strength_model"]) for lora in loras] == [
        ("a.safetensors", 0.8),
        ("b'c.safetensors", 0.5),
    ]
    links = [value for node in nodes.values() for value in node["inputs"].values() if isinstance(value, list)]
    assert {name for name, _ in links} == set(nodes) - {max(nodes, key=int)}, "every node but the last is used"
    assert all(
        int(name) < int(key)
        for key, node in nodes.items()
        for v in node["inputs"].values()
        if isinstance(v, list)
        for name in v[:1]
    )
    assert (
        next(n["inputs"]["ckpt_name"] for n in nodes.values() if "ckpt_name" in n["inputs"]) == "anything.safetensors"
    )


def test_an_image_whose_adapters_are_off_exports_none_of_them() -> None:
    plan = made(weights=(0.8, 0.5), masks=((True, True), (False, True)))
    assert "<lora:a:" not in export_plan(plan, "a1111", FILES, base="", image=1)
    assert "<lora:a:0.8>" in export_plan(plan, "a1111", FILES, base="", image=0)


@pytest.mark.parametrize("form", FORMS)
def test_strange_names_stay_quoted(form: str) -> None:
    plan = made(prompt='a "fox"\\ <lora:evil:9>\'')
    text = export_plan(plan, form, {"a": AdapterFile('x") ; import os #.safetensors'), "b": FILES["b"]}, base='b"ase')
    if form == "diffusers":
        compile(text, "script.py", "exec")
        assert "\nimport os" not in text
    elif form != "a1111":
        json.loads(text)
    else:
        assert text.count("<lora:") == 2


def test_what_cannot_be_exported_gets_a_sentence() -> None:
    plan = made(family="flux")
    with pytest.raises(BadRequest, match=r"for Flux\.1"):
        export_plan(plan, "comfyui", FILES, base="")
    with pytest.raises(BadRequest, match="no export is called 'pdf'"):
        export_plan(plan, "pdf", FILES, base="")
    with pytest.raises(BadRequest, match="no image 3"):
        export_plan(plan, "a1111", FILES, base="", image=3)


FILES = {"a": AdapterFile("a.safetensors", "aa11"), "b": AdapterFile("b'c.safetensors")}


def made(
    prompt: str = "a fox",
    family: str = "sd15",
    weights: tuple[float, float] = (0.8, 0.5),
    masks: tuple[tuple[bool, bool], ...] = ((True, True),),
) -> Plan:
    assignments = [
        {
            "concept_id": "prompt",
            "adapter_id": name,
            "model_key": name,
            "name": name,
            "kind": "style",
            "family": family,
            "score": 1,
            "weight": weight,
            "weight_source": "author",
            "trigger_words": [f"{name}style"],
            "reason": "said",
        }
        for name, weight in zip("ab", weights, strict=True)
    ]
    return Plan.model_validate(
        {
            "prompt": prompt,
            "final_prompt": f"astyle, bstyle, {prompt}",
            "family": family,
            "concepts": [{"id": "prompt", "text": prompt, "start": 0, "end": len(prompt)}],
            "assignments": assignments,
            "masks": masks,
            "verdict": {"profile": "personal", "commercial_use": None},
            "planner": {"name": "offline"},
        }
    )
