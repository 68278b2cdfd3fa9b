from __future__ import annotations

import gzip
import json
import os
import struct
import time
from pathlib import Path

import pytest

from stylus_gen.doors.progress_bar import amount_of
from stylus_gen.tools.errors import AdapterRejected, BadRequest
from stylus_gen.tools.ingest import hashes, import_adapters
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.progress import Bytes
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.stem import is_generic_name
from stylus_gen.tools.store.adapters import count_cards, count_stale, get_card, path_of
from stylus_gen.tools.store.database import Database
from tests.fixtures.loras import LETTERS, SHA, adapter, file, model, run, sha256, version, write


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
    assert is_generic_name(word * 40) and not is_generic_name(f"{word * 40}owl")
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
def test_a_model_object_beside_a_file_gives_the_version_of_that_file(db: Database, tmp_path: Path, suffix: str) -> None:
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
    assert sorted(hashed) == ["crow.safetensors", "fox.safetensors"]
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


def test_a_link_that_is_not_followed_says_where_it_leads(db: Database, tmp_path: Path) -> None:
    loras = tmp_path / "loras"
    adapter(loras / "red" / "fox.safetensors")
    adapter(tmp_path / "outside" / "crow.safetensors")
    for name, target in {"loop": loras, "red/up": loras, "twice": loras / "red", "away": tmp_path / "outside"}.items():
        (loras / name).symlink_to(target, target_is_directory=True)
    (loras / "around.safetensors").symlink_to(loras / "around.safetensors")
    (loras / "gone.safetensors").symlink_to(loras / "nothing.safetensors")
    why = {problem.where: problem.why for problem in run(db, loras).problems}
    read = "is a link to a folder that this import reads already, so it is not followed"
    broken = "is a link that leads to no file: delete it, or put the file back"
    assert why == {
        "away": "is a link out of the folder; import the folder it points to",
        "around.safetensors": broken,
        "gone.safetensors": broken,
        **dict.fromkeys(("loop", "red/up", "twice"), read),
    }


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


def found(db: Database, prompt: str, **policy: bool) -> list[tuple[str, bool]]:
    """Search, and give ids and whether each is here."""
    listed = search_adapters(db, LETTERS, prompt, [], family="sd15", policy=Policy(**policy))["prompt"]
    return [(candidate.adapter_id, candidate.installed) for candidate in listed]


def test_a_file_that_changed_leaves_no_ghost(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "zebrafox.safetensors", {"modelspec.author": "first"})
    run(db, tmp_path)
    old = sha256(path)
    adapter(path, {"modelspec.author": "second"})
    summary = run(db, tmp_path)
    assert (summary.taken, summary.retired) == (1, 1)
    new = get_card(db, "zebrafox")
    assert (new.id, new.creator, path_of(db, new.id)) == (sha256(path), "second", path)
    assert found(db, "a zebrafox") == [(new.id, True)]
    kept = get_card(db, old)
    assert (kept.name, kept.creator, kept.provenance["creator"], kept.path) == ("zebrafox", "first", "header", None)
    again = run(db, tmp_path)
    assert (again.unchanged, again.taken, again.retired) == (1, 0, 0)


def test_a_file_that_comes_back_is_taken_up_again(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "zebrafox.safetensors")
    run(db, tmp_path)
    old = get_card(db, "zebrafox").id
    adapter(path, fill=1)
    run(db, tmp_path)
    adapter(path)
    summary = run(db, tmp_path)
    assert (summary.updated, summary.retired) == (1, 1)
    assert found(db, "a zebrafox") == [(old, True)]


@pytest.mark.parametrize("given", ["loras", "loras/zebrafox.safetensors"])
def test_a_file_that_was_deleted_is_not_here_any_more(db: Database, tmp_path: Path, given: str) -> None:
    path = adapter(tmp_path / "loras" / "zebrafox.safetensors")
    adapter(tmp_path / "loras" / "crow.safetensors", fill=1)
    run(db, tmp_path)
    sha = get_card(db, "zebrafox").id
    path.unlink()
    assert path_of(db, sha) is None
    assert sha not in dict(found(db, "a zebrafox", installed_only=True))
    assert run(db, tmp_path / given).retired == 1
    assert get_card(db, sha).path is None
    assert sha not in dict(found(db, "a zebrafox"))
    assert path_of(db, get_card(db, "crow").id) is not None
    if given != "loras":
        with pytest.raises(BadRequest, match="nothing is at"):
            run(db, tmp_path / given)


def test_a_deleted_file_that_the_site_knows_stays_in_the_catalogue(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "loras" / "fox.safetensors")
    row = model(name="Zebrafox", modelVersions=[version(files=[file(sha=sha256(path))])])
    run(db, write(tmp_path / "site.json", row))
    run(db, tmp_path / "loras")
    card = get_card(db, "fox")
    assert found(db, "a zebrafox") == [(card.id, True)]
    path.unlink()
    assert run(db, tmp_path / "loras").retired == 1
    assert found(db, "a zebrafox") == [(card.id, False)]


def test_a_renamed_file_is_followed_without_being_read_again(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = adapter(tmp_path / "a" / "fox.safetensors")
    run(db, tmp_path)
    sha = get_card(db, "fox").id
    monkeypatch.setattr(hashes, "hash_file", lambda path: pytest.fail("read again"))
    (tmp_path / "b").mkdir()
    path.rename(tmp_path / "b" / "zebra.safetensors")
    summary = run(db, tmp_path)
    assert (summary.updated, summary.retired) == (1, 0)
    assert (get_card(db, "zebra").id, path_of(db, sha)) == (sha, tmp_path / "b" / "zebra.safetensors")
    with pytest.raises(BadRequest, match="no adapter is called"):
        get_card(db, "fox")


def test_copies_are_one_adapter_wherever_they_lie(db: Database, tmp_path: Path) -> None:
    first = adapter(tmp_path / "a" / "fox.safetensors")
    second = adapter(tmp_path / "b" / "fox copy.safetensors")
    assert run(db, tmp_path / "a").taken == 1
    assert run(db, tmp_path / "b").unchanged == run(db, tmp_path / "a").unchanged == run(db, tmp_path).unchanged == 1
    sha = get_card(db, "fox").id
    assert path_of(db, sha) == first
    first.unlink()
    assert path_of(db, sha) == second
    assert run(db, tmp_path / "a").retired == 0
    assert get_card(db, sha).path == str(second)


def test_a_file_that_was_only_touched_is_still_here(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "fox.safetensors")
    run(db, tmp_path)
    os.utime(path, (1, 1))
    sha = get_card(db, "fox").id
    assert path_of(db, sha) == path
    adapter(path, fill=1)
    assert path_of(db, sha) is None


def test_an_edited_header_stays_with_what_the_site_says_of_the_tensors(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "loras" / "fox.safetensors")
    run(db, tmp_path / "loras")
    listed = file(sha=sha256(path), hashes={"SHA256": sha256(path), "AutoV3": get_card(db, "fox").aliases["autov3"]})
    run(db, write(tmp_path / "site.json", model(modelVersions=[version(files=[listed])])))
    adapter(path, {"modelspec.author": "an editor"})
    run(db, tmp_path / "loras")
    card = get_card(db, "fox")
    assert (card.id, card.model_key, card.name, card.trigger_groups) == (
        sha256(path),
        "civitai-1",
        "Red Fox",
        [["fox"]],
    )
    assert found(db, "a red fox") == [(card.id, True)]


def hub(folder: Path) -> Path:
    """Write what huggingface_hub leaves of one download; return the link."""
    blob = adapter(folder / "models--somebody--fox" / "blobs" / "0123.safetensors").rename(
        folder / "models--somebody--fox" / "blobs" / "0123abcd"
    )
    link = folder / "models--somebody--fox" / "snapshots" / "cafe" / "red" / "fox.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


@pytest.mark.parametrize("depth", range(5))
def test_a_hugging_face_cache_is_imported_under_its_links_names(db: Database, tmp_path: Path, depth: int) -> None:
    link = hub(tmp_path)
    summary = run(db, [link, *link.parents][depth])
    assert (summary.taken, summary.problems) == (1, ())
    card = get_card(db, "red/fox")
    assert (card.name, card.file_name, path_of(db, card.id)) == ("fox", "fox.safetensors", link)
    assert run(db, tmp_path).unchanged == 1


def test_a_link_to_a_file_is_imported_under_its_own_name(db: Database, tmp_path: Path) -> None:
    target = adapter(tmp_path / "blob.safetensors").rename(tmp_path / "blob")
    (tmp_path / "loras").mkdir()
    link = tmp_path / "loras" / "fox.SafeTensors"
    link.symlink_to(target)
    assert run(db, link).taken == 1
    assert path_of(db, get_card(db, "fox").id) == link
    assert "is a link" in run(db, tmp_path / "loras").problems[0].why


def test_a_suffix_may_be_written_in_any_case(db: Database, tmp_path: Path) -> None:
    path = adapter(tmp_path / "fox.safetensors").rename(tmp_path / "Fox.SafeTensors")
    assert run(db, path).taken == 1
    assert run(db, write(tmp_path / "A.JSONL", model())).taken == 1
    assert get_card(db, "fox").name == "Fox"


def test_odd_files_in_a_folder_are_named_and_end_nothing(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    os.mkfifo(tmp_path / "x.json")
    os.mkfifo(tmp_path / "y.safetensors")
    os.mkfifo(tmp_path / "fox.civitai.info")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    odd.mkdir()
    adapter(tmp_path / "z.safetensors").rename(odd / "z.safetensors")
    write(tmp_path / "a.jsonl", model()).rename(tmp_path / os.fsdecode(b"\xffa.jsonl"))
    summary = run(db, tmp_path)
    assert summary.taken == 1
    assert json.dumps(summary.to_json(), ensure_ascii=False).encode("utf-8")
    why = {problem.where: problem.why for problem in summary.problems}
    assert "regular file" in why["x.json"] and "regular file" in why["y.safetensors"]
    assert "link" in why["loop.safetensors"]
    assert "UTF-8" in why["\\xff\\xfe/z.safetensors"] and "UTF-8" in why["\\xffa.jsonl"]


def test_what_is_no_path_or_no_file_is_refused_in_a_sentence(db: Database, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "x.json")
    os.mkfifo(tmp_path / "x.safetensors")
    for given in ("x" * 20_000, "a/" * 10_000, "loop", "loop/fox", "x.json", "x.safetensors", "\0", "fox.json/"):
        with pytest.raises(BadRequest):
            run(db, tmp_path / given)
    for given in ("/dev/null", "~nobody-of-that-name/x"):
        with pytest.raises(BadRequest):
            run(db, Path(given))
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.safetensors"))
    adapter(tmp_path / "fox.safetensors").rename(odd)
    with pytest.raises(BadRequest, match="UTF-8"):
        run(db, odd)


def test_json_of_other_tools_is_left_alone_and_not_counted_as_adapters(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    write(tmp_path / "config.json", {"_class_name": "UNet"})
    write(tmp_path / "workflow.json", {"nodes": []})
    write(tmp_path / "words.json", ["a", "b", "c"])
    write(tmp_path / "dump.jsonl", model(id=2, type="VAE"))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.skipped, summary.ignored, summary.problem_count) == (1, 1, 3, 4)
    assert summary.reasons[0].count == 3
    assert run(db, tmp_path / "config.json").skipped == 1


def test_problems_are_grouped_by_reason(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    for n in range(84):
        (tmp_path / f"{n}.safetensors").write_bytes(b"x" * (20 + n))
    for n in range(5):
        (tmp_path / f"{n}.pt").write_bytes(b"pickle")
    reasons = run(db, tmp_path).reasons
    assert [(r.what, r.count, len(r.examples)) for r in reasons] == [("skipped", 84, 3), ("skipped", 5, 3)]
    assert "claims a header" in reasons[0].why and "pickle" in reasons[1].why


def test_files_are_counted_in_bytes_while_they_are_hashed(db: Database, tmp_path: Path) -> None:
    sizes = [adapter(tmp_path / f"{n}.safetensors", fill=n).stat().st_size for n in range(3)]
    seen: list[tuple[int, int, str]] = []
    import_adapters(db, tmp_path, embedder=LETTERS, progress=lambda *step: seen.append(step))
    hashing = [(done, total) for done, total, _ in seen if isinstance(total, Bytes)]
    assert hashing[-1] == (sum(sizes), sum(sizes))


def test_a_bar_says_bytes_where_it_counts_bytes() -> None:
    assert amount_of(1_200, 5_000) == "1,200/5,000"
    assert amount_of(1_200_000_000, Bytes(500_000_000_000)) == "1.2 of 500.0 GB"


def test_notes_of_rgthree_are_another_tool_s_files(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "x.safetensors")
    for name in ("x.rgthree-info.json", "x.safetensors.rgthree-info.json"):
        (tmp_path / name).write_text(json.dumps({"name": "X", "trainedWords": [{"word": "q"}], "images": []}))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.skipped, summary.ignored) == (1, 0, 2)


def test_trained_words_that_are_one_text_are_one_entry(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    (tmp_path / "fox.metadata.json").write_text(json.dumps({"civitai": {"trainedWords": "redfox"}}))
    summary = run(db, tmp_path)
    assert (summary.taken, summary.problems) == (1, ())
    assert get_card(db, "fox").trigger_groups == [["redfox"]]


def test_a_note_in_the_encoding_of_windows_is_read(db: Database, tmp_path: Path) -> None:
    adapter(tmp_path / "fox.safetensors")
    note = '{"activation text": "caf\u00e9 fox", "notes": "Gr\u00fc\u00dfe"}'.encode("latin-1")
    (tmp_path / "fox.json").write_bytes(note)
    summary = run(db, tmp_path)
    assert (summary.taken, summary.problems) == (1, ())
    card = get_card(db, "fox")
    assert (card.trigger_groups, card.description) == ([["caf\u00e9 fox"]], "Gr\u00fc\u00dfe")
