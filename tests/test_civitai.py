from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from stylus_gen.tools.ingest.text import plain_text
from stylus_gen.tools.store.adapters import count_cards, get_card
from stylus_gen.tools.store.database import Database
from tests.fixtures.loras import SHA, file, model, run, take, take_all, version, write


def test_a_model_object_becomes_a_card(db: Database, tmp_path: Path) -> None:
    images = [
        {"nsfw": "None", "meta": {"prompt": "a fox, snow, <lora:fox:0.6>, <lora:other:1>"}},
        {"meta": {"prompt": "a fox, night", "resources": [{"name": "fox", "type": "lora", "weight": 0.8}]}},
        {"meta": {"prompt": "a fox without it"}},
        {"nsfwLevel": 16, "meta": {"prompt": "not for here <lora:fox:2>"}},
        {"meta": None},
    ]
    card = take(
        db,
        tmp_path,
        model(
            description="<p>A <b>red</b> fox &amp; friend.</p><p>Weight 0.5-0.9.</p><script>alert(1)</script>",
            tags=["animal", "Fox", "animal"],
            creator={"username": "somebody"},
            nsfwLevel=3,
            poi=False,
            minor=False,
            allowNoCredit=False,
            allowCommercialUse=["Image", "RentCivit"],
            allowDerivatives=True,
            allowDifferentLicense=False,
            modelVersions=[
                version(
                    description="<p>Better fur.</p>",
                    createdAt="2024-01-02T00:00:00.000Z",
                    trainedWords=["red fox, fur", "vixen"],
                    stats={"downloadCount": 12, "thumbsUpCount": 3, "rating": 4.5},
                    images=images,
                )
            ],
        ),
    )
    assert (card.id, card.model_key, card.version_key) == (SHA, "civitai-1", "civitai-10")
    assert (card.name, card.version, card.creator, card.created_at) == (
        "Red Fox",
        "v1",
        "somebody",
        "2024-01-02T00:00:00.000Z",
    )
    assert card.description == "A red fox & friend.\nWeight 0.5-0.9.\nBetter fur."
    assert (card.tags, card.kind, card.family, card.base_model) == (["animal", "fox"], "object", "sd15", "SD 1.5")
    assert card.trigger_groups == [["red fox", "fur"], ["vixen"]]
    assert [(e.prompt, e.weight) for e in card.examples] == [
        ("a fox, snow", 0.6),
        ("a fox, night", 0.8),
        ("a fox without it", None),
    ]
    assert (card.weight, card.weight_source, card.weight_min, card.weight_max) == (0.7, "examples", 0.5, 0.9)
    assert card.licence.model_dump() == {
        "credit_required": True,
        "commercial": frozenset({"image", "rentcivit"}),
        "derivatives": True,
        "different_licence": False,
        "name": None,
    }
    assert (card.stats.downloads, card.stats.likes, card.stats.rating, card.nsfw_level) == (12, 3, 4.5, 3)
    assert (card.file_name, card.file_size, card.path) == ("fox.safetensors", 2097664, None)
    assert set(card.provenance.values()) == {"civitai"}


@pytest.mark.parametrize(
    ("created", "family"),
    [("2023-03-01T00:00:00.000Z", "sd15"), ("2023-08-01T00:00:00.000Z", "unknown"), ("", "unknown")],
)
def test_another_base_was_stable_diffusion_1_before_there_were_others(
    db: Database, tmp_path: Path, created: str, family: str
) -> None:
    card = take(db, tmp_path, model(modelVersions=[version(baseModel="Other", createdAt=created)]))
    assert (card.family, card.base_model) == (family, "Other")


def test_all_containers_hold_the_same_adapters(db: Database, tmp_path: Path) -> None:
    line = json.dumps(model()).encode()
    (tmp_path / "one.json").write_bytes(b"\xef\xbb\xbf" + line)
    (tmp_path / "list.json").write_bytes(b"[" + line + b"]")
    (tmp_path / "page.json").write_bytes(b'{"items": [' + line + b'], "metadata": {}}')
    (tmp_path / "lines.jsonl").write_bytes(b"\n" + line + b"\n\n")
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(line))
    (tmp_path / "info.civitai.info").write_text(json.dumps({**version(), "modelId": 1, "model": {"name": "Red Fox"}}))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.skipped, count_cards(db)) == (1, 0, 1), summary.problems
    assert summary.unchanged == 5
    for path in sorted(tmp_path.iterdir()):
        assert run(db, path).taken == 0


def test_commercial_use_is_read_in_all_its_spellings(db: Database, tmp_path: Path) -> None:
    cases: list[tuple[Any, list[str] | None]] = [
        (None, None),
        ("None", []),
        ([], []),
        ("Image", ["image"]),
        ("Rent", ["image", "rent", "rentcivit"]),
        ("Sell", ["image", "rent", "rentcivit", "sell"]),
        ("{Image,RentCivit}", ["image", "rentcivit"]),
        ("{}", []),
        (["Sell"], ["sell"]),
        ("Whatever", []),
    ]
    cards = take_all(db, tmp_path, [{"allowCommercialUse": stated} for stated, _ in cases])
    read = [card.licence.commercial for card in cards]
    assert [None if words is None else sorted(words) for words in read] == [expected for _, expected in cases]


def test_a_model_said_to_be_nsfw_is_never_mild(db: Database, tmp_path: Path) -> None:
    cases = [({}, 1), ({"nsfw": True}, 8), ({"nsfwLevel": 31}, 31), ({"nsfwLevel": 64}, 8)]
    cases += [({"nsfw": True, "nsfwLevel": 31}, 28), ({"nsfw": True, "nsfwLevel": 32}, 32)]
    cards = take_all(db, tmp_path, [stated for stated, _ in cases])
    assert [card.nsfw_level for card in cards] == [level for _, level in cases]


def test_real_people_and_minors_are_marked(db: Database, tmp_path: Path) -> None:
    card = take(db, tmp_path, model(minor=True, tags=["celebrity"]))
    assert (card.minor, card.poi, card.kind) == (True, True, "character")


def test_the_kind_is_told_by_category_tags_and_names(db: Database, tmp_path: Path) -> None:
    cases = [
        ("Samia", ["anime", "character", "style"], "character"),
        ("Oil", ["style"], "style"),
        ("Chalk art style", ["anime"], "style"),
        ("Kimono", ["clothing"], "clothing"),
        ("Jojo", ["poses"], "pose"),
        ("Castle", ["buildings"], "background"),
        ("Tank", ["vehicle"], "object"),
        ("Lightning in a bottle", ["concept"], "concept"),
        ("Detail Slider", ["concept"], "slider"),
        ("LCM LoRA SDXL", ["tool"], "accelerator"),
        ("SDXL Lightning 4 steps", [], "accelerator"),
        ("Hyper-SD", ["concept"], "accelerator"),
        ("detail_slider_v4", [], "slider"),
        ("DetailSlider", [], "slider"),
        ("ageSliderXL", [], "slider"),
        ("muscle_sliders-v2", [], "slider"),
        ("lcm_lora_sdxl", [], "accelerator"),
        ("LCMLoRA", [], "accelerator"),
        *((name, [], "accelerator") for name in ("TCDlora", "hyper8step", "lcmlora", "dmd2lora", "sd15lcm")),
        *((name, [], "accelerator") for name in ("SDXL-TCD-LoRA", "Hyper16StepsLora", "lightning4step", "8stepsLoRA")),
        *((name, [], "unknown") for name in ("hyper3d", "Explora", "doorsteps", "dmdragon", "Flora")),
        ("sdxl_lightning_4step_lora", [], "accelerator"),
        ("FluxTurbo8Steps", [], "accelerator"),
        ("Hyper_SDXL_8steps", [], "accelerator"),
        ("dmd2_sdxl_4step", [], "accelerator"),
        ("Turbo LoRA", [], "accelerator"),
        ("ink_style_v2", [], "style"),
        ("GhibliStyle", [], "style"),
        ("hairstyle_bob", [], "unknown"),
        ("lifestyle", [], "unknown"),
        ("calcmaster", [], "unknown"),
        ("Samia", ["anime"], "unknown"),
    ]
    cards = take_all(db, tmp_path, [{"name": name, "tags": tags} for name, tags, _ in cases])
    assert [(card.name, card.kind) for card in cards] == [(name, kind) for name, _, kind in cases]


def test_an_author_s_weight_is_read_off_the_description(db: Database, tmp_path: Path) -> None:
    cases = [
        ("Use a weight of 0.8 - 1.0", 0.9, 0.8, 1.0),
        ("Recommended weight: 0.7", 0.7, None, None),
        ("strength 1~0.6", 0.8, 0.6, 1.0),
        ("推荐权重0.5-0.7", 0.6, 0.5, 0.7),
        ("I use it at 0,9 weight", 0.9, None, None),
        ("paste &lt;lora:fox:0.65&gt; into the prompt", 0.65, None, None),
        ("Denoising strength 0.4, 20 steps, 512 dim", None, None, None),
        ("weight 100%, weight: 7 MB", 1.0, None, None),
        ("Set strength to 70%", 0.7, None, None),
        ("use it at 60-80% strength", 0.7, 0.6, 0.8),
        ("merged at a 50% weight, train loss 20%, weight: 7 MB, caption dropout strength 50%", None, None, None),
        ("best between 0.6 and 0.8", 0.7, 0.6, 0.8),
        ("Works best at 0.7", 0.7, None, None),
        ("I recommend 0.5-0.9", 0.7, 0.5, 0.9),
        ("denoising is best between 0.4 and 0.6, best at 0.5 denoise, CFG works best at 1.1", None, None, None),
        ("ema weight 0.999; min snr 5; weight_decay=0.1", None, None, None),
        ("caption dropout 0.05 strength, huber weight 0.2", None, None, None),
        ("use at version 1.5 or SD 1.5 weight", None, None, None),
        ("label smoothing strength 0.1, regularization weight 0.5, perceptual loss 0.1 weight", None, None, None),
        ("works with version 1.5 weight 0.8", 0.8, None, None),
        ("SDXL weight 0.8", 0.8, None, None),
        ("SDXL 0.8 weight", 0.8, None, None),
        ("weight decay 0.1, noise offset strength 0.05, lr weight 1e-4", None, None, None),
        ("ss_prior_loss_weight: 1.0, scale_weight_norms=1, weight_decay=0.01", None, None, None),
        ("ControlNet weight 0.5, hires strength .3, clip skip 2, weight: clip skip 2", None, None, None),
        ("Strength 0.4 denoise, 0.1 weight decay, CFG strength 1.5", None, None, None),
        ("CFG 7 weight 0.8 steps 20", 0.8, None, None),
        ("Weight decay: 0.01. Weight: 0.7-0.9<br>dim 32", 0.8, 0.7, 0.9),
        ("20 steps<br>Weight: 0.6<br>Denoising strength: 0.5", 0.6, None, None),
        ("version 1.5 needs no weight at all", None, None, None),
    ]
    cards = take_all(db, tmp_path, [{"description": f"<p>{text}</p>"} for text, *_ in cases])
    assert [(card.weight, card.weight_min, card.weight_max) for card in cards] == [tuple(case[1:]) for case in cases]
    assert {card.weight_source for card in cards} == {"author", None}


def test_what_cannot_be_taken_is_reported_row_by_row_and_stops_nothing(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        b"{not json",
        b'"a string"',
        b'{"hello": "world"}',
        json.dumps(model(type="Checkpoint")).encode(),
        json.dumps(model(modelVersions=[version(files=[file("fox.zip", metadata={})])])).encode(),
        json.dumps(model(modelVersions=[version(files=[])])).encode(),
        json.dumps(model(modelVersions=[])).encode(),
        json.dumps(model(modelVersions=[version(files=[file("", hashes={})])], name="  ")).encode(),
        json.dumps(model(modelVersions=[version(trainedWords=7), 5, version()])).encode(),
        json.dumps(model(id="one")).encode(),
        b"[" * 200_000,
        b"\xff\xfe\xfd",
    ]
    path.write_bytes(b"\n".join(rows))
    summary = run(db, path)
    assert (summary.taken, count_cards(db)) == (1, 1)
    assert (summary.skipped, summary.problem_count, len(summary.problems)) == (12, 13, 13)
    found = {problem.where: problem.why for problem in summary.problems}
    assert found["rows.jsonl, line 1"].startswith("not JSON")
    assert found["rows.jsonl, line 2"] == "expected a JSON object, found str"
    assert "no modelVersions" in found["rows.jsonl, line 3"]
    assert found["rows.jsonl, line 4, version 1"] == "it is a Checkpoint, not a LoRA"
    assert found["rows.jsonl, line 5, version 1"] == "its files are .zip; only .safetensors is read"
    assert found["rows.jsonl, line 6, version 1"] == "it lists no file"
    assert "has no versions" in found["rows.jsonl, line 7"]
    assert "has a name" in found["rows.jsonl, line 8, version 1"]
    assert "trainedWords: expected a list" in found["rows.jsonl, line 9, version 1"]
    assert found["rows.jsonl, line 10"].startswith("id")
    assert "nested too deeply" in found["rows.jsonl, line 11"]
    assert json.dumps(summary.to_json())


@pytest.mark.parametrize(
    "odd",
    [
        {"images": {"a": 1}},
        {"images": [5, {"meta": {"prompt": "a fox"}}, {"meta": "x"}]},
        {"stats": "many"},
        {"stats": {"downloadCount": "many", "rating": float("nan")}},
        {"description": 5},
        {"baseModel": ["SD 1.5"]},
        {"createdAt": {}},
        {"nsfwLevel": "X"},
        {"modelId": 10**400},
        {"trainedWords": ["fox", 5, None]},
        {"files": [5, file(sizeKB="big")]},
        {"creator": "somebody"},
        {"model": 5},
    ],
)
def test_an_odd_field_costs_itself_and_not_the_version(db: Database, tmp_path: Path, odd: dict[str, Any]) -> None:
    card = take(db, tmp_path, model(modelVersions=[version(**odd)]))
    assert (card.name, card.trigger_groups) == ("Red Fox", [["fox"]])
    assert "left out because it is invalid" in run(db, tmp_path / "one.json").problems[0].why


def test_an_odd_word_on_safety_is_read_strictly(db: Database, tmp_path: Path) -> None:
    card = take(db, tmp_path, model(poi="perhaps", minor=[], nsfw={}, allowCommercialUse=["Sell", 5]))
    assert (card.poi, card.minor, card.nsfw_level, card.licence.commercial) == (True, True, 8, None)


def test_a_gzip_cut_short_gives_what_came_before_the_cut(db: Database, tmp_path: Path) -> None:
    rows = [model(id=n, modelVersions=[version(id=n, files=[file(sha=f"{n:064x}")])]) for n in range(1, 300)]
    whole = gzip.compress("\n".join(json.dumps(row) for row in rows).encode(), 0)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    summary = run(db, tmp_path / "cut.jsonl.gz")
    assert 0 < summary.taken < 299
    assert "copy it again" in summary.problems[-1].why


def test_an_endless_card_is_cut_and_that_is_said(db: Database, tmp_path: Path) -> None:
    huge = model(
        name="x" * 5000,
        description="<p>" + "fox " * 250_000,
        tags=[f"tag {n}" for n in range(500)],
        modelVersions=[
            version(
                trainedWords=[",".join(f"word {n} {m}" for m in range(100)) for n in range(20)] + ["y" * 100_000],
                images=[{"meta": {"prompt": f"{n} " + "z " * 50_000}} for n in range(100)],
            )
        ],
    )
    summary = run(db, write(tmp_path / "huge.json", huge))
    assert (summary.taken, summary.skipped) == (1, 0)
    assert "too long" in summary.problems[0].why and "2,001 trigger words" in summary.problems[0].why
    assert len(get_card(db, SHA).model_dump_json()) < 60_000


def test_strangers_text_is_stored_without_what_harms_a_terminal_or_a_database(db: Database, tmp_path: Path) -> None:
    card = take(
        db,
        tmp_path,
        model(
            name="Fox\u0000\u001b[31m \u202etxt\n'; DROP TABLE files; -- 狐🦊",
            description="a\u0000b \ud800 <img src=x onerror=alert(1)> &lt;b&gt;",
            tags=["a\tb\u0007"],
            creator={"username": ["not", "a", "name"]},
            modelVersions=[version(trainedWords=["<lora:fox:1>", " , ,fo\u0000x,"])],
        ),
    )
    assert card.name == "Fox [31m txt '; DROP TABLE files; -- 狐🦊"
    assert (card.description, card.tags, card.trigger_groups) == ("a b <b>", ["a b"], [["fo x"]])


def test_two_uploads_of_one_file_are_one_card_and_that_is_said(db: Database, tmp_path: Path) -> None:
    again = model(id=2, name="Stolen fox", modelVersions=[version(id=20)])
    summary = run(db, write(tmp_path / "two.jsonl", model(), again))
    assert (summary.taken, summary.merged, summary.skipped) == (1, 1, 0)
    assert [(p.where, p.why) for p in summary.problems] == [
        ("civitai-2", "the same file was uploaded as civitai-1: one card")
    ]
    assert run(db, tmp_path / "two.jsonl").unchanged == 2


def test_every_safetensors_file_of_a_version_is_an_adapter_of_its_own(db: Database, tmp_path: Path) -> None:
    files = [
        file("fox_pruned.safetensors", "cd" * 32, primary=False),
        file(),
        file("data.zip", "ef" * 32, type="Training Data", metadata={"format": "Other"}),
    ]
    run(db, write(tmp_path / "a.json", model(modelVersions=[version(files=files)])))
    assert {get_card(db, sha).version_key for sha in (SHA, "cd" * 32)} == {"civitai-10"}
    assert count_cards(db) == 2


def test_community_records_tell_family_and_weight_range(db: Database, tmp_path: Path) -> None:
    row = {"name": "Ink", "prefix": "inkish ", "version": "flux1", "file": "ink_f16.ckpt", "converted": {}}
    summary = run(
        db, write(tmp_path / "a.jsonl", {**row, "weight": {"value": 0.9, "lower_bound": 0.4, "upper_bound": 1.2}})
    )
    assert summary.taken == 1
    card = get_card(db, "Ink")
    assert (card.family, card.weight, card.weight_min, card.weight_max) == ("flux", 0.9, 0.4, 1.2)
    assert (card.trigger_groups, card.provenance["family"]) == ([["inkish"]], "community")


@pytest.mark.parametrize("nothing", ["None", "null", "N/A.", "n/a", "-", "No trigger words needed", "undefined"])
def test_a_text_that_stands_for_nothing_is_nothing(db: Database, tmp_path: Path, nothing: str) -> None:
    card = take(db, tmp_path, model(description=nothing, modelVersions=[version(trainedWords=[nothing, "fox, None"])]))
    assert (card.description, card.trigger_groups) == ("", [["fox"]])


def test_a_text_that_only_begins_like_nothing_is_something() -> None:
    for text in ("No Game No Life", "Nona", "None of the above", "nothing"):
        assert plain_text(text, 100) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("A fox. <![50% off", "A fox."),
        ("A fox. <!doctype x [<!ENTITY a 'b'>]>", "A fox. ]>"),
        ("<![CDATA[x]]>A fox. <!---", "A fox."),
        ("5 < 6 &amp; <3 &#0;&#x202e;fox", "5 < 6 & <3 \ufffd fox"),
        ("A fox.\n<?xml version='1.0' encoding='utf-16'?><meta charset=utf-16>狐", "A fox.\n狐"),
        ("<p>one<br>two<ul><li>three</ul><script>four</script>", "one\ntwo\nthree"),
        ("a & b", "a & b"),
    ],
)
def test_odd_html_in_a_description_is_read_as_a_browser_reads_it(html: str, text: str) -> None:
    assert plain_text(html, 100) == text


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<![", "<!", "<div>", "</p>", "<p>", "<a ", "&", "&#", "<", "<script>", "<font size=1><p>", "<table>"],
)
def test_endless_html_is_read_in_no_time(piece: str) -> None:
    start = time.process_time()
    assert len(plain_text(piece * (240_000 // len(piece)), 12_000)) <= 12_000
    assert time.process_time() - start < 1
