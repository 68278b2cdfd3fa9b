"""The small world: files are checked, training resumes, adapters are ordinary ones, the evaluation is fair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.offline import OFFLINE
from stylus_gen.agent.request import PlanRequest
from stylus_gen.context import agent_context
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.search.embed import minilm
from stylus_gen.tools.store.database import Database
from stylus_gen.world import adapters_path, base_path, write_manifest
from stylus_gen.world.captions import build_tokenizer, corpus
from stylus_gen.world.catalogue import catalogue
from stylus_gen.world.effects import EFFECT_CODE
from stylus_gen.world.evaluation import Size, questions
from stylus_gen.world.loop import Schedule, fit
from stylus_gen.world.lora import Lora, write_lora
from stylus_gen.world.things import STYLES, SUBJECTS, THINGS, UNSEEN, held_out


def quiet(done: int, total: int, message: str) -> None: ...


def test_a_damaged_file_is_named_with_the_hash_it_should_have(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(b"as shipped")
    write_manifest(tmp_path)
    expected = json.loads((tmp_path / "manifest.json").read_text())["base/model.safetensors"]
    weights.write_bytes(b"as downloaded over a bad line")
    with pytest.raises(Unavailable) as caught:
        base_path(tmp_path)
    assert str(weights) in caught.value.message
    assert expected in caught.value.message


def test_a_world_without_files_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"stylus_gen\.world\.train"):
        adapters_path(tmp_path)


def test_finding_the_world_does_not_load_torch() -> None:
    code = "import sys, stylus_gen.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_word_of_the_captions_is_one_token_and_a_strangers_word_still_reads() -> None:
    tokenizer = build_tokenizer()
    words = {word for caption in corpus() for word in caption.split() if word.isalpha()}
    assert all(len(tokenizer.tokenize(word)) == 1 for word in words)
    assert len(tokenizer("xqz_überstylé 画").input_ids) > 3


def test_a_cut_training_goes_on_as_if_it_had_not_been_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylus_gen.world.loop.CHECKPOINT_SECONDS", -1.0)

    def train(checkpoint: Path, cut_at: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        model, calls = torch.nn.Linear(3, 3), []

        def loss_of(generator: torch.Generator) -> torch.Tensor:
            calls.append(1)
            if len(calls) == cut_at:
                raise KeyboardInterrupt
            return (model(torch.randn(8, 3, generator=generator)) - 1).square().mean()

        schedule = Schedule(20, 0.05, average=3, warm_up=2)
        fit(model, loss_of, schedule, seed=1, checkpoint=checkpoint, progress=quiet, label="")
        return model.weight.detach()

    whole = train(tmp_path / "whole.safetensors", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.safetensors", 12)
    assert torch.equal(train(tmp_path / "cut.safetensors", None), whole)


@pytest.mark.parametrize("form", ["kohya", "peft"])
def test_both_forms_of_an_adapter_do_in_the_runtime_what_they_did_in_training(form: str, tmp_path: Path) -> None:
    from stylus_gen.tools.diffusion.pipeline import load_base

    pipeline = load_base(str(base_path()), device="cpu", dtype="float32")
    unet = pipeline.pipe.unet
    lora = Lora(unet, 4, seed=3)
    with torch.no_grad():
        for up in lora.up.values():
            up.normal_(std=0.02, generator=torch.Generator().manual_seed(4))
        wanted = lora.merged(unet)
    write_lora(lora, unet, tmp_path / "a.safetensors", form, {"ss_base_model_version": "stylus-world"})  # type: ignore[arg-type]
    pipeline.runtime.apply([(pipeline.cache.get(tmp_path / "a.safetensors"), 1.0)])
    merged = dict(unet.named_parameters())
    for name, weight in wanted.items():
        assert torch.allclose(merged[name], weight, atol=1e-3), name


def test_effects_change_pictures_and_nothing_else() -> None:
    picture = np.full((32, 32, 3), 255, np.uint8)
    picture[8:24, 8:24] = (200, 40, 90)
    before = picture.copy()
    made = {name: change(picture) for name, change in EFFECT_CODE.items()}
    assert (picture == before).all()
    assert all(new.shape == picture.shape and new.dtype == np.uint8 for new in made.values())
    assert all((new != picture).any() for new in made.values())
    assert made["night"].mean() < picture.mean() / 2
    assert np.ptp(made["grayscale"].astype(int), axis=2).max() == 0


def test_the_catalogue_is_as_mixed_as_a_real_one() -> None:
    entries = catalogue()
    assert len(entries) >= 40
    assert len({e.stem for e in entries}) == len(entries)
    forms = [e.form for e in entries]
    assert abs(forms.count("kohya") - forms.count("peft")) <= 2
    assert {(e.topic, e.rank) for e in entries if e.training == "style"} >= {
        (s.name, rank) for s in STYLES if s.name != "flat" for rank in (4, 8)
    }
    assert set(SUBJECTS) <= set(UNSEEN)
    assert not any(e.commercial for e in entries if e.stem == "golden_hour_nc")


def test_the_evaluation_asks_only_for_held_out_pictures_of_what_the_base_knows() -> None:
    everything = frozenset((t, s.name) for t in THINGS for s in STYLES)
    asked = questions(everything, 1, Size())
    assert asked == questions(everything, 1, Size())
    assert all(held_out(q.thing, q.style or "") for q in asked if q.sort == "style")
    assert all(q.thing not in UNSEEN and not q.by_hand for q in asked if q.sort == "plain")
    assert all(len(q.by_hand) == 2 for q in asked if q.sort == "both")


def test_the_shipped_world_is_within_sixty_megabytes_and_holds_the_whole_catalogue() -> None:
    data = adapters_path().parent
    assert sum(p.stat().st_size for p in data.rglob("*") if p.is_file()) <= 60 * 10**6
    assert {p.stem for p in adapters_path().glob("*.safetensors")} == {e.stem for e in catalogue()}


def test_no_configuration_names_the_machine_that_trained_it() -> None:
    assert not [p for p in base_path().rglob("*.json") if "_name_or_path" in json.loads(p.read_text("utf-8"))]


def test_what_was_drawn_for_the_evaluation_is_not_drawn_again(tmp_path: Path) -> None:
    from stylus_gen.eval.world_pictures import Drawing, PictureCache
    from stylus_gen.tools.diffusion.pipeline import load_base

    plain = next(q for q in questions(frozenset(), 1, Size(plain=1)) if q.sort == "plain")
    drawn: list[int] = []
    cache = PictureCache(load_base(str(base_path()), family="world"), {}, "as shipped", tmp_path / "pictures", seeds=2)
    for _ in range(2):
        cache.draw([Drawing(plain, plain.prompt, ())], lambda done, total, message: drawn.append(total))
    assert drawn == [2]
    assert cache.read([Drawing(plain, plain.prompt, ())]).shape == (1, 2, 32, 32, 3)


def test_the_evaluation_reports_every_arm_and_leaves_a_sheet(tmp_path: Path) -> None:
    from stylus_gen.eval.world import evaluate_world
    from stylus_gen.tools.plan import Plan, PlannerInfo, Verdict
    from stylus_gen.tools.search.embed import minilm

    def plan_nothing(prompt: str) -> Plan:
        return Plan(
            prompt=prompt, final_prompt=prompt, family="world", masks=((),),
            verdict=Verdict(profile="personal", commercial_use=True), planner=PlannerInfo(name="nobody"),
        )  # fmt: skip

    size = Size(per_style=1, unseen=2, plain=2)
    report = evaluate_world(plan_nothing, minilm(), out=tmp_path, progress=quiet, seeds=1, size=size, sweeps=False)
    written = json.loads((tmp_path / "world.json").read_text())
    assert set(written["arms"]) == {"base", "by_hand", "planned", "random", "nearest"}
    for row in written["arms"].values():
        assert set(row) == {"style_acc", "thing_acc", "clip", "dist", "diversity"}
    assert set(written["no_adapter_needed"]) == {"base", "planned"}
    assert set(written["judge"]) == {"style_acc", "thing_top1", "thing_top5"}
    # A plan without adapters draws the base's own pictures.
    assert report["arms"]["planned"] == report["arms"]["base"]
    # Unseen things alone: a style asked of them too may blur them.
    assert report["unseen"]["by_hand"]["dist"] < report["unseen"]["base"]["dist"] - 0.1
    assert (tmp_path / "world.png").stat().st_size > 10_000


def test_the_shipped_adapters_that_a_prompt_asks_for_are_planned_and_no_other(db: Database) -> None:
    import_adapters(db, adapters_path(), embedder=minilm(), progress=quiet)
    context = agent_context(db, minilm(), OFFLINE)

    def planned(prompt: str) -> set[str]:
        return {a.name for a in plan_prompt(PlanRequest(prompt=prompt, family="world"), context).assignments}

    assert planned("a dog and a penguin") == {"Dog", "Penguin"}
    assert planned("a penguin without a dog") == {"Penguin"}
    for said in ("dog excluded", "the dog is absent", "dog: no", "-dog", "(dog:0)", "[dog:-1]", "zero dogs"):
        assert planned(f"a penguin, {said}") == {"Penguin"}
    assert planned("a non-dog penguin") == {"Penguin"}
    assert planned("can't have a penguin without a dog") == {"Dog", "Penguin"}
    assert planned("a dog, no penguin please") == {"Dog"}
    assert planned("not only a dog but a penguin") == {"Dog", "Penguin"}
    assert planned("anything but a dog") == set()
