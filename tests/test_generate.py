"""From a plan to pictures: rows, seeds, refusals, interruption, and pictures made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylus_gen.tools.diffusion.schedulers import SCHEDULERS
from stylus_gen.tools.errors import AdapterRejected, BadRequest
from stylus_gen.tools.generate import Limits, Pipeline, RenderSettings, generate, load_base, render_settings, replay
from stylus_gen.tools.plan import Assignment, Concept, Plan, PlannerInfo, Verdict
from tests.fixtures import tiny
from tests.fixtures.disk import full_disk

QUICK = RenderSettings(steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_sd(tmp_path_factory.mktemp("base") / "sd")


@pytest.fixture(scope="module")
def opened(folder: Path) -> Pipeline:
    return load_base(str(folder))


@pytest.fixture
def pipeline(opened: Pipeline) -> Iterator[Pipeline]:
    before = {name: tensor.clone() for name, tensor in opened.pipe.unet.state_dict().items()}
    yield opened
    after = opened.pipe.unet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items()), "the base was not given back"


@pytest.fixture(scope="module")
def files(opened: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    unet = tiny.make_lora(opened.pipe, seed=1)
    text = tiny.make_lora(opened.pipe, components=("text_encoder",), seed=2, size=1.0)
    return {
        "ink": tiny.write(folder / "ink_v2.safetensors", tiny.kohya_tensors(unet)),
        "words": tiny.write(folder / "words.safetensors", tiny.peft_tensors(text)),
    }


def assign(adapter_id: str, **changes: Any) -> Assignment:
    given = {
        "concept_id": "fox",
        "adapter_id": adapter_id,
        "model_key": f"test-{adapter_id}",
        "name": f"{adapter_id} style",
        "kind": "style",
        "family": "unknown",
        "score": 0.9,
        "weight": 0.8,
        "weight_source": "default",
        "trigger_words": (f"{adapter_id}trigger",),
        "reason": "it fits",
    }
    return Assignment(**(given | changes))


def make_plan(*assignments: Assignment, **changes: Any) -> Plan:
    words = [word for a in assignments for word in a.trigger_words]
    given = {
        "prompt": "a fox",
        "final_prompt": ", ".join([*words, "a fox"]),
        "family": "unknown",
        "concepts": (Concept(id="fox", text="fox", start=2, end=5),),
        "assignments": assignments,
        "masks": ((True,) * len(assignments),),
        "seed": 11,
        "verdict": Verdict(profile="personal", commercial_use=None),
        "planner": PlannerInfo(name="offline"),
    }
    return Plan(**(given | changes))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def same(one: Path, two: Path) -> bool:
    return np.array_equal(pixels(one), pixels(two))


def test_each_row_draws_its_adapters_from_its_own_seed(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    plan = make_plan(assign("ink"), assign("words"), masks=((True, True), (True, False), (False, False)))
    pictures = generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)
    assert [p.recipe.seed for p in pictures] == [11, 12, 13]
    assert [{a.adapter_id for a in p.recipe.adapters} for p in pictures] == [{"ink", "words"}, {"ink"}, set()]
    assert [p.recipe.prompt for p in pictures] == ["inktrigger, wordstrigger, a fox", "inktrigger, a fox", "a fox"]
    assert all(p.path.is_file() and p.drawn for p in pictures)


def test_a_picture_is_the_same_alone_and_in_a_batch(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    three = generate(
        make_plan(assign("ink"), masks=((True,),) * 3), pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path
    )
    alone = generate(
        make_plan(assign("ink"), seed=13), pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path / "alone"
    )
    assert same(three[2].path, alone[0].path)
    assert not same(three[0].path, three[1].path)


def test_controls_are_the_base_at_the_same_seeds(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    settings = RenderSettings(steps=2, control=True)
    plan = make_plan(assign("ink"), masks=((True,), (False,)))
    pictures = generate(plan, pipeline=pipeline, files=files, settings=settings, out_dir=tmp_path)
    bare = generate(make_plan(masks=((), ())), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path / "bare")
    assert [p.recipe.control for p in pictures] == [False, False, True, True]
    assert [p.recipe.seed for p in pictures] == [11, 12, 11, 12]
    assert same(pictures[2].path, bare[0].path) and same(pictures[3].path, bare[1].path)
    assert same(pictures[1].path, pictures[3].path)
    assert not same(pictures[0].path, pictures[2].path)


def test_a_text_encoder_adapter_changes_the_picture(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    settings = RenderSettings(steps=4, guidance=20)
    on, off = (
        generate(
            make_plan(assign("words", weight=weight, trigger_words=())),
            pipeline=pipeline,
            files=files,
            settings=settings,
            out_dir=tmp_path,
        )[0]
        for weight in (1.0, 0.0)
    )
    assert on.recipe.adapters[0].adapter_id == "words" and off.recipe.adapters == ()
    assert not same(on.path, off.path)


def test_one_adapter_for_two_concepts_is_applied_once(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    both = make_plan(assign("ink", weight=0.4), assign("ink", weight=0.8), final_prompt="a fox")
    once = make_plan(assign("ink", weight=0.8), final_prompt="a fox")
    one, two = (
        generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path / str(i))[0]
        for i, plan in enumerate((both, once))
    )
    assert [a.weight for a in one.recipe.adapters] == [0.8]
    assert same(one.path, two.path)


def test_trigger_words_somebody_placed_by_hand_stay(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    plan = make_plan(
        assign("ink"), assign("words"), final_prompt="a fox in inktrigger", masks=((True, False), (False, True))
    )
    pictures = generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)
    assert {p.recipe.prompt for p in pictures} == {"a fox in inktrigger"}


# Settings


@pytest.mark.parametrize("name", ["base", *SCHEDULERS])
def test_every_scheduler_draws(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    settings = RenderSettings(steps=3, scheduler=name, width=24, height=16)
    picture = generate(make_plan(), pipeline=pipeline, files={}, settings=settings, out_dir=tmp_path)[0]
    assert pixels(picture.path).shape == (16, 24, 3)


def test_settings_that_nobody_gave_are_the_bases(pipeline: Pipeline, tmp_path: Path) -> None:
    settings = generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0].recipe.settings
    assert settings == RenderSettings(steps=2, guidance=7.0, width=16, height=16, scheduler="base")


def test_settings_that_make_no_sense_are_named(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"width: .*multiple of 8"):
        render_settings(width=100)
    with pytest.raises(BadRequest, match=r"step: there is no such field"):
        render_settings(step=10)
    with pytest.raises(BadRequest, match="unknown scheduler 'euler b': use one of"):
        generate(
            make_plan(), pipeline=pipeline, files={}, settings=RenderSettings(scheduler="euler b"), out_dir=tmp_path
        )


def test_progress_counts_every_step_of_every_picture(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    seen: list[tuple[int, int, str]] = []
    plan = make_plan(assign("ink"), masks=((True,), (True,)))
    generate(
        plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path, progress=lambda *at: seen.append(at)
    )
    assert [done for done, _, _ in seen] == [1, 2, 2, 3, 4, 4]
    assert {total for _, total, _ in seen} == {4}
    assert seen[-1][2] == "picture 2 of 2"


@pytest.mark.parametrize("prompt", ["🦊🦊 狐狸在雪地里", "fox " * 5000])
def test_a_prompt_longer_than_the_base_reads_is_drawn_with_a_warning(
    pipeline: Pipeline, tmp_path: Path, prompt: str
) -> None:
    plan = make_plan(prompt=prompt, final_prompt=prompt, concepts=())
    recipe = generate(plan, pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0].recipe
    assert recipe.prompt == prompt
    assert any("this base reads 77" in warning for warning in recipe.warnings) == (len(prompt) > 77)


# Refusing


def test_all_adapters_that_cannot_be_used_are_named_before_anything_is_drawn(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(files["ink"].read_bytes()[:5000])
    plan = make_plan(assign("ink"), assign("absent"), assign("cut", name="c'u\nt"), assign("gone"))
    with pytest.raises(AdapterRejected, match="3 of 4 adapters cannot be used") as refused:
        generate(
            plan,
            pipeline=pipeline,
            files={**files, "cut": cut, "gone": tmp_path / "gone.safetensors"},
            settings=QUICK,
            out_dir=tmp_path / "out",
        )
    codes = {r["adapter_id"]: r["code"] for r in refused.value.facts["rejected"]}  # type: ignore[attr-defined]
    assert codes == {"absent": "no_file", "cut": "broken_file", "gone": "no_file"}
    assert "'absent style': its file is not on this machine" in refused.value.message
    assert "\n" not in refused.value.message
    assert not (tmp_path / "out").exists()


def test_an_adapter_planned_for_another_family_is_refused(folder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    pipeline = load_base(str(folder), family="sd15")
    with pytest.raises(AdapterRejected, match=r"'ink style': this adapter is for SDXL, the base is SD 1\.5"):
        generate(make_plan(assign("ink", family="sdxl")), pipeline=pipeline, files=files, out_dir=tmp_path)


def test_a_file_that_is_not_the_one_planned_is_refused(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    planned = "0" * 64
    with pytest.raises(AdapterRejected, match="has changed since it was imported"):
        generate(make_plan(assign(planned)), pipeline=pipeline, files={planned: files["ink"]}, out_dir=tmp_path)


def test_an_adapter_that_is_off_in_every_row_needs_no_file(pipeline: Pipeline, tmp_path: Path) -> None:
    plan = make_plan(assign("absent"), masks=((False,),))
    assert generate(plan, pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0].path.is_file()


# Interrupting


def test_an_interrupted_run_keeps_its_pictures_and_goes_on_where_it_stopped(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    plan = make_plan(assign("ink"), masks=((True,),) * 3)

    def interrupt(done: int, total: int, message: str) -> None:
        if done == 4 and message == "picture 2 of 3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path, progress=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 1 and all(path.suffix == ".png" for path in kept)
    pictures = generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)
    assert [p.drawn for p in pictures] == [False, True, True]
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()


def test_what_changes_the_pixels_is_drawn_anew(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    plan = make_plan(assign("ink"))
    generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)
    for other, settings in [
        (plan, RenderSettings(steps=3)),
        (plan, RenderSettings(steps=2, guidance=3)),
        (make_plan(assign("ink", weight=0.7)), QUICK),
        (make_plan(assign("ink"), negative_prompt="blurry"), QUICK),
        (make_plan(assign("ink"), seed=12), QUICK),
    ]:
        assert generate(other, pipeline=pipeline, files=files, settings=settings, out_dir=tmp_path)[0].drawn
    assert not generate(plan, pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)[0].drawn


def test_a_full_disk_ends_in_a_sentence_and_nothing_half(pipeline: Pipeline, tmp_path: Path) -> None:
    with full_disk(200), pytest.raises(BadRequest, match=r"\.png' cannot be written"):
        generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (RenderSettings(steps=1000), "1,000 steps .* STYLUS_MAX_STEPS"),
        (RenderSettings(width=4096, height=4096), "4096×4096 .* STYLUS_MAX_PIXELS"),
    ],
)
def test_a_picture_above_the_limits_is_refused_before_anything_is_drawn(
    pipeline: Pipeline, tmp_path: Path, asked: RenderSettings, says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        generate(make_plan(), pipeline=pipeline, files={}, settings=asked, out_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_limits_can_be_set_and_hold_for_recipes_of_strangers(pipeline: Pipeline, tmp_path: Path) -> None:
    one = RenderSettings(steps=4)
    with pytest.raises(BadRequest, match="at most 3 are allowed"):
        generate(make_plan(), pipeline=pipeline, files={}, settings=one, out_dir=tmp_path, limits=Limits(steps=3))
    (picture,) = generate(make_plan(), pipeline=pipeline, files={}, settings=one, out_dir=tmp_path)
    with pytest.raises(BadRequest, match="at most 3 are allowed"):
        replay(picture.path, pipeline=pipeline, files={}, out_dir=tmp_path / "again", limits=Limits(steps=3))


def test_a_picture_above_the_bases_usual_is_drawn_with_a_warning(pipeline: Pipeline, tmp_path: Path) -> None:
    usual = pipeline.defaults
    size = {"width": 2 * (usual.width or 0), "height": usual.height}
    (picture,) = generate(
        make_plan(), pipeline=pipeline, files={}, settings=RenderSettings(steps=2, **size), out_dir=tmp_path
    )
    assert any("2.0 times the size" in warning for warning in picture.recipe.warnings)
    again = replay(picture.path, pipeline=pipeline, files={}, out_dir=tmp_path / "again")
    assert any("2.0 times the size" in warning for warning in again.warnings)
    (small,) = generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)
    assert small.recipe.warnings == ()


def test_no_library_writes_a_long_prompt_to_the_terminal(
    pipeline: Pipeline, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = "fox " * 4_000
    generate(make_plan(final_prompt=long), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_half_a_picture_is_drawn_again(pipeline: Pipeline, tmp_path: Path) -> None:
    path = generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0].drawn
    assert path.read_bytes() == whole


# Replaying


def test_a_replay_repeats_every_bit(folder: Path, pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    plan = make_plan(assign("ink"), assign("words", weight=-0.3), negative_prompt="dull", masks=((True, True),) * 2)
    settings = RenderSettings(steps=3, scheduler="euler-a")
    second = generate(plan, pipeline=pipeline, files=files, settings=settings, out_dir=tmp_path)[1]
    fresh = load_base(str(folder))
    again = replay(second.path, pipeline=fresh, files=files, out_dir=tmp_path / "again")
    assert again.identical and again.differences == ()
    assert same(second.path, again.path) and again.path != second.path
    assert again.recipe == second.recipe


def test_a_replay_finds_adapters_by_their_hash(pipeline: Pipeline, files: dict[str, Path], tmp_path: Path) -> None:
    picture = generate(make_plan(assign("ink")), pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)[0]
    by_hash = {picture.recipe.adapters[0].sha256: files["ink"]}
    assert replay(picture.path, pipeline=pipeline, files=by_hash, out_dir=tmp_path / "again").identical


def test_a_replay_says_what_differs(folder: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    picture = generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0]
    half = load_base(str(folder), dtype="bfloat16")
    again = replay(picture.path, pipeline=half, files={}, out_dir=tmp_path / "again")
    assert not again.identical
    assert again.differences[0] == "dtype: float32, now bfloat16"
    assert "pixels: " in again.differences[1] and "by at most" in again.differences[1]


def test_a_replay_on_another_base_or_with_another_file_is_refused(
    pipeline: Pipeline, files: dict[str, Path], tmp_path: Path
) -> None:
    picture = generate(make_plan(assign("ink")), pipeline=pipeline, files=files, settings=QUICK, out_dir=tmp_path)[0]
    other = load_base(str(tiny.save_tiny_sd(tmp_path / "other", seed=1)))
    with pytest.raises(BadRequest, match="made with the base 'sd', and 'other' is not the same"):
        replay(picture.path, pipeline=other, files=files, out_dir=tmp_path)
    with pytest.raises(AdapterRejected, match="has changed: its SHA-256 is"):
        replay(picture.path, pipeline=pipeline, files={"ink": files["words"]}, out_dir=tmp_path)
    with pytest.raises(AdapterRejected, match="is not on this machine"):
        replay(picture.path, pipeline=pipeline, files={}, out_dir=tmp_path)


def test_a_picture_that_moved_is_replayed(pipeline: Pipeline, tmp_path: Path) -> None:
    picture = generate(make_plan(), pipeline=pipeline, files={}, settings=QUICK, out_dir=tmp_path)[0]
    moved = Path(shutil.copy(picture.path, tmp_path / "my favourite.png"))
    assert replay(moved, pipeline=pipeline, files={}, out_dir=tmp_path).path.name == "my favourite-replay.png"
