from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylus_gen.tools.card import Card
from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.ingest import ImportSummary, folder, import_adapters
from stylus_gen.tools.store.adapters import count_cards, count_stale, get_card, path_of
from stylus_gen.tools.store.database import Database

SHA = "ab" * 32
SD15_KEY = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def count_letters(texts: Any) -> Any:
    rows = np.array([[1 + text.count(letter) for letter in "abcdefgh"] for text in texts], np.float32).reshape(-1, 8)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


LETTERS = Embedder("letters", 8, count_letters)


def run(db: Database, path: Path) -> ImportSummary:
    return import_adapters(db, path, embedder=LETTERS, progress=lambda done, total, message: None)


def file(name: str = "fox.safetensors", sha: str = SHA, **more: Any) -> dict[str, Any]:
    form = {"metadata": {"format": "SafeTensor"}, "type": "Model", "sizeKB": 2048.5, "primary": True}
    return {"id": 7, "name": name, "hashes": {"SHA256": sha.upper(), "AutoV2": sha[:10].upper()}, **form, **more}


def version(**more: Any) -> dict[str, Any]:
    return {"id": 10, "name": "v1", "baseModel": "SD 1.5", "trainedWords": ["fox"], "files": [file()], **more}


def model(**more: Any) -> dict[str, Any]:
    return {"id": 1, "name": "Red Fox", "type": "LORA", "modelVersions": [version()], **more}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def take(db: Database, tmp_path: Path, row: Any) -> Card:
    """Import one model and read its only card."""
    summary = run(db, write(tmp_path / "one.json", row))
    assert (summary.taken, summary.skipped) == (1, 0), summary.problems
    return get_card(db, SHA)


def adapter(path: Path, metadata: dict[str, str] | None = None, key: str = SD15_KEY, fill: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.full((2, 768), fill, np.float16)}, path, metadata)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def take_all(db: Database, tmp_path: Path, models: list[dict[str, Any]]) -> list[Card]:
    """Import models that differ in what is given, and read their cards."""
    rows = [
        model(**{**more, "id": n, "modelVersions": [version(id=n, files=[file(sha=f"{n:064x}")])]})
        for n, more in enumerate(models, 1)
    ]
    assert run(db, write(tmp_path / "all.jsonl", *rows)).taken == len(rows)
    return [get_card(db, f"{n:064x}") for n, _ in enumerate(models, 1)]


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
    cards = take_all(db, tmp_path, [{"allowCommercialUse": told} for told, _ in cases])
    read = [card.licence.commercial for card in cards]
    assert [None if words is None else sorted(words) for words in read] == [expected for _, expected in cases]


def test_a_model_said_to_be_nsfw_is_never_mild(db: Database, tmp_path: Path) -> None:
    cases = [({}, 1), ({"nsfw": True}, 8), ({"nsfwLevel": 31}, 31), ({"nsfwLevel": 64}, 8)]
    cases += [({"nsfw": True, "nsfwLevel": 31}, 28), ({"nsfw": True, "nsfwLevel": 32}, 32)]
    cards = take_all(db, tmp_path, [told for told, _ in cases])
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
        ("weight 100%, weight: 7 MB", None, None, None),
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
        json.dumps(model(modelVersions=[version(trainedWords="fox"), 5, version()])).encode(),
        json.dumps(model(id="one")).encode(),
        b"[" * 200_000,
        b"\xff\xfe\xfd",
    ]
    path.write_bytes(b"\n".join(rows))
    summary = run(db, path)
    assert (summary.taken, count_cards(db)) == (1, 1)
    assert summary.skipped == summary.problem_count == len(summary.problems) == 13
    found = {problem.where: problem.why for problem in summary.problems}
    assert found["rows.jsonl, line 1"].startswith("not JSON")
    assert found["rows.jsonl, line 2"] == "expected a JSON object, found str"
    assert "no modelVersions" in found["rows.jsonl, line 3"]
    assert found["rows.jsonl, line 4, version 1"] == "it is a Checkpoint, not a LoRA"
    assert found["rows.jsonl, line 5, version 1"] == "its files are .zip; only .safetensors is read"
    assert found["rows.jsonl, line 6, version 1"] == "it lists no file"
    assert "has no versions" in found["rows.jsonl, line 7"]
    assert "has a name" in found["rows.jsonl, line 8, version 1"]
    assert found["rows.jsonl, line 9, version 1"].startswith("trainedWords")
    assert found["rows.jsonl, line 10"].startswith("id")
    assert "nested too deeply" in found["rows.jsonl, line 11"]
    assert json.dumps(summary.to_json())


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


def test_a_file_alone_is_read_by_its_header(db: Database, tmp_path: Path) -> None:
    metadata = {
        "modelspec.title": "Red Fox",
        "modelspec.author": "somebody",
        "modelspec.description": "A fox. Best at weight 0.7",
        "modelspec.trigger_phrase": "redfox, fur",
        "modelspec.license": "CC0",
        "ss_base_model_version": "sd_v1",
        "ss_tag_frequency": json.dumps({"10_fox": {"snow": 3, "fox": 9}, "5_den": {"snow": 1}}),
    }
    path = adapter(tmp_path / "a" / "b" / "fox_v1.safetensors", metadata)
    summary = run(db, tmp_path)
    assert (summary.taken, summary.problems) == (1, ())
    card = get_card(db, "fox_v1")
    assert (card.name, card.creator, card.family, card.base_model) == ("Red Fox", "somebody", "sd15", "sd_v1")
    assert (card.tags, card.trigger_groups, card.weight) == (["fox", "snow"], [["redfox", "fur"]], 0.7)
    assert (card.licence.name, card.file_size, path_of(db, card.id)) == ("CC0", path.stat().st_size, path)
    assert card.aliases["autov2"] == card.id[:10]


def test_a_file_that_says_nothing_is_called_by_its_name(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "red fox.safetensors", {"ss_output_name": "None"}, key="mystery.weight")
    run(db, tmp_path / "red fox.safetensors")
    card = get_card(db, "red fox")
    assert (card.name, card.family) == ("red fox", "unknown")


def test_notes_beside_a_file_are_joined_by_authority(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "fox.safetensors", {"modelspec.title": "header fox", "modelspec.author": "header author"})
    run(db, path)
    sha = get_card(db, "fox").id
    note = {"activation text": "typed fox, fur", "preferred weight": 0.45, "sd version": "SD1", "notes": "likes snow"}
    (tmp_path / "fox.json").write_text(json.dumps(note))
    manager = {"model_name": "managed fox", "sha256": sha, "tags": ["animal"], "usage_tips": '{"strength_max": 1.1}'}
    (tmp_path / "fox.metadata.json").write_text(json.dumps(manager))
    site = {**version(files=[file(sha=sha)], trainedWords=["site fox"]), "modelId": 1, "model": {"name": "Site fox"}}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(site))
    summary = run(db, tmp_path)
    assert (summary.merged, summary.problems, count_cards(db)) == (1, (), 1)
    card = get_card(db, sha)
    assert (card.name, card.creator, card.tags, card.kind) == ("Site fox", "header author", ["animal"], "object")
    assert (card.trigger_groups, card.description) == ([["site fox"]], "likes snow")
    assert (card.weight, card.weight_source, card.weight_max) == (0.45, "user", 1.1)
    assert (card.model_key, card.path) == ("civitai-1", str(path))
    assert [card.provenance[f] for f in ("name", "creator", "tags", "weight", "path")] == [
        "civitai",
        "header",
        "lora-manager",
        "a1111",
        "header",
    ]


def test_lora_manager_s_copy_of_the_site_counts_as_the_site_s_word(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    inner = {**version(files=[file(sha=sha)]), "modelId": 1, "model": {"name": "Site fox", "type": "LORA"}}
    manager = {"model_name": "my fox", "sha256": sha.upper(), "usage_tips": {"strength": 0.6}, "civitai": inner}
    (tmp_path / "fox.metadata.json").write_text(json.dumps(manager))
    assert run(db, tmp_path).problems == ()
    card = get_card(db, sha)
    assert (card.name, card.model_key, card.weight, card.weight_source) == ("Site fox", "civitai-1", 0.6, "user")


def test_notes_about_another_file_and_broken_notes_are_left_out_and_named(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    site = {**version(), "modelId": 1, "model": {"name": "Another fox"}}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(site))
    (tmp_path / "fox.metadata.json").write_text(json.dumps({"sha256": SHA, "model_name": "Another fox"}))
    (tmp_path / "fox.json").write_text("{broken")
    summary = run(db, tmp_path)
    assert (summary.taken, summary.skipped, summary.problem_count) == (1, 0, 3)
    assert {p.where for p in summary.problems} == {"fox.civitai.info", "fox.metadata.json", "fox.json"}
    assert get_card(db, "fox").name == "fox"


def test_a_file_whose_tensors_contradict_its_notes_keeps_its_own_family(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    note = {**version(files=[file(sha=sha)], baseModel="SDXL 1.0"), "modelId": 1, "model": {"name": "Fox"}}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(note))
    run(db, tmp_path)
    card = get_card(db, sha)
    assert (card.family, card.provenance["family"], card.base_model) == ("sd15", "tensors", "SDXL 1.0")


def test_other_is_resolved_by_the_tensors(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "loras" / "fox.safetensors"))
    row = model(modelVersions=[version(baseModel="Other", files=[file(sha=sha)])])
    run(db, write(tmp_path / "site.json", row))
    assert get_card(db, sha).family == "unknown"
    run(db, tmp_path / "loras")
    card = get_card(db, sha)
    assert (card.family, card.name, card.model_key) == ("sd15", "Red Fox", "civitai-1")


def test_a_folder_may_mix_files_and_site_objects(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    write(tmp_path / "dump.jsonl", model(modelVersions=[version(files=[file(sha=sha)])]), model(id=2, type="VAE"))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.merged, count_cards(db)) == (1, 1, 1)
    assert path_of(db, sha) == tmp_path / "fox.safetensors"
    again = run(db, tmp_path)
    assert (again.unchanged, again.taken, again.merged, again.updated) == (2, 0, 0, 0)


def test_an_unchanged_file_is_not_hashed_again_and_a_changed_one_is(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = folder._hash
    monkeypatch.setattr(folder, "_hash", lambda path: (hashed.append(path.name), real(path))[1])
    adapter(tmp_path / "fox.safetensors")
    adapter(tmp_path / "crow.safetensors", fill=1)
    assert run(db, tmp_path).taken == 2
    assert run(db, tmp_path).unchanged == 2
    assert hashed == ["crow.safetensors", "fox.safetensors"]
    adapter(tmp_path / "fox.safetensors", fill=2)
    assert run(db, tmp_path).taken == 1
    assert hashed[2:] == ["fox.safetensors"]


def test_a_file_that_moved_is_found_where_it_is_now(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "fox.safetensors")
    run(db, tmp_path)
    (tmp_path / "animals").mkdir()
    path.rename(tmp_path / "animals" / "fox.safetensors")
    assert run(db, tmp_path).updated == 1
    assert path_of(db, get_card(db, "fox").id) == tmp_path / "animals" / "fox.safetensors"


def test_pickles_links_and_broken_files_are_refused_one_by_one(db: Database, tmp_path: Path) -> None:
    outside = adapter(tmp_path / "outside" / "secret.safetensors")
    loras = tmp_path / "loras"
    good = adapter(loras / "good.safetensors")
    for name in ("old.pt", "old.ckpt", "old.bin", "old.pth", "OLD.PT"):
        (loras / name).write_bytes(b"pickle")
    (loras / "link.safetensors").symlink_to(outside)
    (loras / "folder").symlink_to(outside.parent, target_is_directory=True)
    (loras / "loop").symlink_to(loras, target_is_directory=True)
    (loras / "half.safetensors").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (loras / "huge.safetensors").write_bytes(struct.pack("<Q", 10_000_000_000) + b"{}")
    (loras / ".hidden.safetensors").write_bytes(b"not looked at")
    (loras / "good.json").symlink_to(outside)
    summary = run(db, loras)
    assert (summary.taken, count_cards(db)) == (1, 1)
    found = {problem.where: problem.why for problem in summary.problems}
    assert all("pickle" in found[name] for name in ("old.pt", "old.ckpt", "old.bin", "old.pth", "OLD.PT"))
    assert all("is a link" in found[name] for name in ("link.safetensors", "folder", "loop", "good.json"))
    assert "cut short" in found["half.safetensors"]
    assert "claims a header of 10,000,000,000 bytes" in found["huge.safetensors"]
    assert len(found) == summary.skipped == 11


def test_a_folder_that_is_a_link_itself_may_be_given(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "loras" / "fox.safetensors")
    (tmp_path / "link").symlink_to(tmp_path / "loras", target_is_directory=True)
    assert run(db, tmp_path / "link").taken == 1


def test_a_killed_import_is_finished_by_the_next(db: Database, tmp_path: Path) -> None:
    rows = [model(id=n, modelVersions=[version(id=n, files=[file(sha=f"{n:064x}")])]) for n in range(1, 451)]
    path = write(tmp_path / "many.jsonl", *rows)

    def stop(done: int, total: int, message: str) -> None:
        if message == "indexing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_adapters(db, path, embedder=LETTERS, progress=stop)
    assert count_stale(db) > 0
    summary = run(db, path)
    assert (summary.unchanged, count_cards(db), count_stale(db)) == (450, 450, 0)
    with db.pool.connection() as conn:
        assert conn.execute("SELECT count(*) FROM search_documents").fetchone() == (450,)


def test_progress_reaches_its_end(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    write(tmp_path / "a.jsonl", *[model(id=n, modelVersions=[version(id=n)]) for n in range(1, 5)])
    seen: list[tuple[int, int, str]] = []
    import_adapters(db, tmp_path, embedder=LETTERS, progress=lambda *step: seen.append(step))
    assert all(0 <= done <= total for done, total, _ in seen)
    assert {message for _, _, message in seen} >= {"a.jsonl", "fox.safetensors", "indexing"}


def test_what_is_nothing_to_import_is_refused(db: Database, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    for name, why in (
        ("absent", "nothing is at"),
        ("empty", "holds no .safetensors"),
        ("model.ckpt", "cannot be imported"),
    ):
        with pytest.raises(BadRequest, match=why):
            run(db, tmp_path / name)


def test_the_real_corpus_is_taken_but_for_what_is_no_safetensors(db: Database, tmp_path: Path) -> None:
    corpus = Path(os.environ.get("STYLUS_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
    source = corpus / "civitai_adapters.jsonl.gz"
    if not source.is_file():
        pytest.skip("the corpus of real adapters is not here: set STYLUS_CORPUS to its folder")
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        rows = [line for line, _ in zip(lines, range(300), strict=False)]
    (tmp_path / "some.jsonl").write_text("".join(rows), "utf-8")
    summary = run(db, tmp_path / "some.jsonl")
    assert summary.taken > 400
    assert all("only .safetensors" in p.why or "no file" in p.why for p in summary.problems if p.skipped)
    again = run(db, tmp_path / "some.jsonl")
    assert (again.taken, again.updated, again.merged) == (0, 0, 0)
