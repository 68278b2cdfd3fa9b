from __future__ import annotations

import gzip
import json
import os
import struct
import time
from pathlib import Path

import pytest

from stylus_gen.tools.errors import AdapterRejected, BadRequest
from stylus_gen.tools.ingest import hashes, import_adapters
from stylus_gen.tools.stem import is_anyones
from stylus_gen.tools.store.adapters import count_cards, count_stale, get_card, path_of
from stylus_gen.tools.store.database import Database
from tests.loras import LETTERS, SHA, adapter, file, model, run, sha256, version, write


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
    adapter(tmp_path / "red fox.safetensors", {"ss_output_name": "None"}, key="mystery.lora_A.weight")
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_note_is_read_in_every_encoding_that_json_allows(db: Database, tmp_path: Path, encoding: str) -> None:
    adapter(tmp_path / "fox.safetensors")
    note = json.dumps({"activation text": "狐"}, ensure_ascii=False)
    (tmp_path / "fox.json").write_bytes(note.encode(encoding))
    assert run(db, tmp_path).problems == ()
    assert get_card(db, "fox").trigger_groups == [["狐"]]


@pytest.mark.parametrize(
    ("metadata", "groups"),
    [
        ({"trained_words": '["redfox, fur", "vixen"]'}, [["redfox", "fur"], ["vixen"]]),
        ({"trained_words": "['redfox', 'vixen']"}, [["redfox"], ["vixen"]]),
        ({"trained_words": "redfox, (fur:1.2)"}, [["redfox", "fur"]]),
        ({"modelspec.trigger_phrase": "None", "ss_tag_frequency": '{"1_redfox": {"redfox": 1}}'}, [["redfox"]]),
        ({"ss_tag_frequency": '{"1_redfox": {"redfox": 1}}'}, [["redfox"]]),
        ({"ss_tag_frequency": '{"1_red fox": {"red_fox": 1}}'}, [["red_fox"]]),
        ({"ss_tag_frequency": '{"set": {"10_redfox animal": {"redfox": 9, "snow": 3}}}'}, [["redfox"]]),
        (
            {"ss_tag_frequency": '[{"10_redfox": {"redfox": "9", "snow": 3}}, {"5_den": {"snow": 1}}]'},
            [["redfox"], ["snow"]],
        ),
        ({"ss_tag_frequency": '{"10_redfox": [["redfox", 9], ["snow", 3]]}'}, [["redfox"]]),
        ({"ss_tag_frequency": '{"10_animal": {"snow": 9, "fox": 3}}'}, []),
        ({"ss_tag_frequency": '{"a": null, "b": "x", "c": [1, [2]], "": {}, "d": {"e": true}}'}, []),
        ({"ss_datasets": '[{"subsets": [{"class_tokens": "redfox animal"}]}]'}, [["redfox animal"]]),
        ({"ss_datasets": '[{"tag_frequency": {"10_redfox": {"redfox": 9, "snow": 3}}}]'}, [["redfox"]]),
        ({"modelspec.trigger_word": "redfox", "ss_tag_frequency": '{"1_x": {"x": 1}}'}, [["redfox"]]),
    ],
)
def test_triggers_are_read_wherever_a_trainer_wrote_them(
    db: Database, tmp_path: Path, metadata: dict[str, str], groups: list[list[str]]
) -> None:
    adapter(tmp_path / "a.safetensors", metadata)
    run(db, tmp_path)
    assert get_card(db, "a").trigger_groups == groups


@pytest.mark.parametrize(
    "title",
    ["last", "lora", "None", "pytorch_lora_weights", "my_LoRA-000010", "N/A", "adapter_model", "epoch 3", "0001"],
)
def test_a_file_whose_title_is_anyone_s_is_called_by_its_own_name(db: Database, tmp_path: Path, title: str) -> None:
    adapter(tmp_path / "Steampunk_Owl_v3.safetensors", {"ss_output_name": title, "modelspec.author": "None"})
    run(db, tmp_path)
    card = get_card(db, "Steampunk_Owl_v3")
    assert (card.name, card.creator) == ("Steampunk_Owl_v3", "")


@pytest.mark.parametrize("word", ["sdxl", "fp16", "bf16 ", "models", "version_", "v1", "trained"])
def test_a_long_name_of_anyone_s_words_is_judged_at_once(word: str) -> None:
    start = time.process_time()
    assert is_anyones(word * 40) and not is_anyones(f"{word * 40}owl")
    assert time.process_time() - start < 0.5


NOTES = (".json", ".civitai.info", ".metadata.json")


def test_lora_manager_s_form_for_one_s_own_models_is_read(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    note = {"sha256": sha, "model_name": "fox", "civitai": {"trainedWords": ["redfox", "vixen"]}}
    (tmp_path / "fox.metadata.json").write_text(json.dumps(note))
    assert run(db, tmp_path).problems == ()
    card = get_card(db, sha)
    assert (card.trigger_groups, card.provenance["trigger_groups"]) == ([["redfox"], ["vixen"]], "lora-manager")
    assert (card.name, card.model_key) == ("fox", f"file-{sha[:16]}")


@pytest.mark.parametrize("suffix", NOTES[:2])
def test_a_model_object_beside_a_file_tells_of_the_version_that_the_file_is(
    db: Database, tmp_path: Path, suffix: str
) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    versions = [version(id=9, trainedWords=["old"]), version(id=10, trainedWords=["new"], files=[file(sha=sha)])]
    (tmp_path / f"fox{suffix}").write_text(json.dumps(model(modelVersions=versions)))
    assert run(db, tmp_path).problems == ()
    card = get_card(db, sha)
    assert (card.name, card.version_key, card.trigger_groups) == ("Red Fox", "civitai-10", [["new"]])


def test_a_model_object_of_another_file_is_refused(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    (tmp_path / "fox.json").write_text(json.dumps(model(modelVersions=[version(id=9), version(files=[])])))
    assert "about another file" in run(db, tmp_path).problems[0].why
    assert get_card(db, "fox").trigger_groups == []


@pytest.mark.parametrize("suffix", NOTES[:2])
def test_a_version_without_files_keeps_its_words(db: Database, tmp_path: Path, suffix: str) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    note = {"id": 10, "modelId": 1, "trainedWords": ["redfox"], "model": {"name": "Red Fox", "type": "LORA"}}
    (tmp_path / f"fox{suffix}").write_text(json.dumps(note))
    assert run(db, tmp_path).problems == ()
    card = get_card(db, sha)
    assert (card.name, card.model_key, card.trigger_groups) == ("Red Fox", "civitai-1", [["redfox"]])


def test_a_note_outlives_an_edit_of_the_header(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "fox.safetensors")
    before = sha256(path)
    _, autov3 = hashes.hash_file(path)
    adapter(path, {"modelspec.title": "edited"})
    listed = file(sha=before, hashes={"SHA256": before, "AutoV2": before[:10], "AutoV3": autov3.upper() + "ab" * 26})
    inner = {**version(files=[listed]), "modelId": 1, "model": {"name": "Red Fox"}}
    for name, note in (("civitai.info", inner), ("metadata.json", {"sha256": before, "civitai": inner})):
        (tmp_path / f"fox.{name}").write_text(json.dumps(note))
        assert run(db, tmp_path).problems == ()
        card = get_card(db, sha256(path))
        assert (card.name, card.trigger_groups) == ("Red Fox", [["fox"]])
        assert card.aliases["autov2"] == sha256(path)[:10]
        (tmp_path / f"fox.{name}").unlink()


def test_an_odd_field_of_a_note_costs_only_itself(db: Database, tmp_path: Path) -> None:
    sha = sha256(adapter(tmp_path / "fox.safetensors"))
    note = {**version(files=[file(sha=sha)]), "id": "ten", "images": "x", "model": {"name": "Red Fox", "tags": 5}}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(note))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.skipped, summary.problem_count) == (1, 0, 1)
    assert "model.tags" in summary.problems[0].why
    assert get_card(db, sha).trigger_groups == [["fox"]]


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
    real = hashes.hash_file
    monkeypatch.setattr(hashes, "hash_file", lambda path: (hashed.append(path.name), real(path))[1])
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
    (tmp_path / "model.txt").write_text("words")
    for name, why in (
        ("absent", "nothing is at"),
        ("empty", "holds no .safetensors"),
        ("model.txt", "cannot be imported"),
    ):
        with pytest.raises(BadRequest, match=why):
            run(db, tmp_path / name)
    with pytest.raises(AdapterRejected, match="is a pickle"):
        run(db, tmp_path / "model.ckpt")


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
