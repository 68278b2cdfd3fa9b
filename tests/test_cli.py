"""The command line, as a person uses it: what it prints, and how it fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from stylus_gen.doors.cli import main
from stylus_gen.tools.search.audit import Audit
from tests.fixtures.catalogue import model, write_catalogue
from tests.fixtures.disk import full_disk


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Done]


@pytest.fixture
def stylus(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run one command against a fresh database, in an empty folder."""
    monkeypatch.setenv("STYLUS_DATABASE_URL", database_url)
    monkeypatch.setenv("STYLUS_FAMILY", "sd15")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        captured = capsys.readouterr()
        return Done(int(stopped.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def stocked(stylus: Run, tmp_path: Path) -> Run:
    """The same with the synthetic catalogue imported."""
    assert stylus("import", str(write_catalogue(tmp_path))).code == 0
    return stylus


def test_import_says_what_was_taken_and_a_second_run_changes_nothing(stylus: Run, tmp_path: Path) -> None:
    path = str(write_catalogue(tmp_path))
    first, second = stylus("import", path, "--json").json, stylus("import", path, "--json").json
    assert (first["taken"], first["unchanged"]) == (8, 0)
    assert (second["taken"], second["unchanged"]) == (0, 8)


def test_search_finds_an_adapter_by_its_trigger_word(stocked: Run) -> None:
    found = stocked("search", "wanostyle", "--json").json["candidates"]
    assert found[0]["name"] == "Wano Saga Style"


def test_show_prints_a_card_by_name_and_by_hash(stocked: Run) -> None:
    by_name = stocked("show", "Watercolor Dreams", "--json").json
    by_hash = stocked("show", by_name["id"][:10], "--json").json
    assert by_name == by_hash
    assert (by_name["weight"], by_name["weight_source"]) == (0.6, "examples")


def test_plan_prints_a_table_and_the_same_plan_as_json(stocked: Run) -> None:
    command = ("plan", "1girl, wanostyle, zelphira, standing", "--seed", "1", "--images", "2")
    table, plan = stocked(*command).out, stocked(*command, "--json").json
    names = {a["name"] for a in plan["assignments"]}
    assert names == {"Wano Saga Style", "Zelphira of Astermoor"}
    assert all(name in table for name in names)
    assert plan["masks"] == [[True, True], [True, True]]


def test_a_plan_for_commercial_use_leaves_out_what_its_author_forbids(stocked: Run) -> None:
    personal = stocked("plan", "mistyforest", "--json").json
    commercial = stocked("plan", "mistyforest", "--profile", "commercial", "--json").json
    assert [a["name"] for a in personal["assignments"]] == ["Misty Forest"]
    assert commercial["assignments"] == []


def test_real_people_are_never_found(stocked: Run) -> None:
    assert stocked("plan", "arealperson", "--json").json["assignments"] == []


def test_show_prints_lists_and_licences_as_a_person_writes_them(stocked: Run) -> None:
    shown = stocked("show", "Misty Forest").out
    assert "mistyforest" in shown
    assert not any(sign in shown for sign in ("[", "{", "frozenset"))


@pytest.mark.parametrize("prompt", ["🦊🌊✨", "一个女孩在雨中散步", "the of and a"])
def test_a_prompt_that_no_adapter_answers_gets_a_plan_without_adapters(stocked: Run, prompt: str) -> None:
    plan = stocked("plan", prompt, "--json").json
    assert plan["assignments"] == []
    assert plan["final_prompt"] == prompt
    assert "no adapter fits" in stocked("plan", prompt).out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["plan", ""], 2, "the prompt is empty"),
        (["plan", "   "], 2, "the prompt is empty"),
        (["plan", "x" * 20_000], 2, "20,000 characters"),
        (["plan", "a cat", "--family", "kolors"], 2, "stylus import"),
        (["plan", "a cat", "--family", "sd99"], 2, "family"),
        (["plan", "a cat", "--model", "telepathy:1"], 2, "openai:NAME"),
        (["generate"], 2, "give one of"),
        (["generate", "wanostyle"], 2, "--base"),
        (["plan", "a cat", "--approve"], 2, "--thread NAME"),
        (["generate", "--plan", "nowhere.json"], 2, "nowhere.json"),
        (["show", "nobody"], 2, "nobody"),
        (["import", "nowhere"], 2, "nowhere"),
        (["replay", "nowhere.png"], 2, "nowhere.png"),
        (["import", "pickle.pt"], 3, "is a pickle"),
        (["generate", "--plan", "list.json", "--seed", "3"], 2, "stylus revise"),
        (["plan", "a cat", "--out", "nowhere/plan.json"], 2, "--out"),
        (["plan", "a \udcff cat"], 2, "UTF-8"),
        (
            ["generate", "--plan", "list.json"],
            2,
            "'list.json' is not a plan: expected an object with the fields of Plan",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence_and_a_non_zero_exit(
    stocked: Run, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04.")
    (tmp_path / "list.json").write_text("[]")
    done = stocked(*arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert done.err.startswith("stylus: ")
    assert len(done.err.splitlines()) == 1


def test_an_unreachable_database_is_named_without_its_password(stylus: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLUS_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/stylus")
    done = stylus("search", "a cat")
    assert done.code == 4
    assert "127.0.0.1" in done.err
    assert "hunter2" not in done.err


def test_a_misspelt_setting_is_refused_with_the_right_name(stylus: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLUS_DATABSE_URL", "x")
    done = stylus("doctor")
    assert done.code == 2
    assert "did you mean STYLUS_DATABASE_URL?" in done.err


def test_doctor_says_what_is_missing_and_how_to_get_it(stylus: Run) -> None:
    done = stylus("doctor", "--json")
    states = {f["what"]: f for f in done.json["findings"]}
    assert done.code == 4
    assert states["database"]["state"] == "ok"
    assert states["adapters"]["state"] == "missing"
    assert "stylus import" in states["adapters"]["to_do"]


def test_a_world_adapter_of_one_s_own_does_not_hide_those_that_are_shipped(
    stylus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylus_gen.world import adapters_path

    monkeypatch.setenv("STYLUS_FAMILY", "world")
    (tmp_path / "mine").mkdir()
    shutil.copy(adapters_path() / "penguin_world.safetensors", tmp_path / "mine")
    assert stylus("import", "mine").code == 0
    plan = stylus("plan", "a penguin, glossy 3D style", "--json").json
    assert "Glossy 3D" in {a["name"] for a in plan["assignments"]}


def test_hostile_names_reach_the_terminal_as_plain_text(stylus: Run, tmp_path: Path) -> None:
    evil = model(9, "[bold red]evil[/]\x1b[31m", tags=["style"], triggers=["eviltrigger"], file="evil")
    stylus("import", str(write_catalogue(tmp_path, [evil])))
    done = stylus("search", "eviltrigger")
    assert "[bold red]evil[/]" in done.out
    assert "\x1b[31m" not in done.out


def test_an_import_that_takes_nothing_fails_and_says_why(stylus: Run, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "half.safetensors").write_bytes(b"\x40\x0d\x03\x00")
    done = stylus("import", "half")
    assert done.code == 3
    assert "half.safetensors" in done.out
    assert "nothing was imported" in done.err


def test_a_folder_of_sdxl_adapters_is_refused_one_by_one_on_the_small_world(stylus: Run, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder, names = tmp_path / "mine", ("xl_one", "xl_two")
    folder.mkdir()
    stem, header = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", "stable-diffusion-xl-v1-base/lora"
    for rank, name in enumerate(names, 1):
        tensors = {f"{stem}.lora_down.weight": torch.ones(rank, 2048), f"{stem}.lora_up.weight": torch.ones(640, rank)}
        save_file(tensors, folder / f"{name}.safetensors", {"modelspec.architecture": header})
    assert stylus("import", str(folder)).code == 0
    done = stylus("check", "a cat <lora:xl_one:1> <lora:xl_two:1>", "--family", "world")
    assert done.code == 3
    assert done.out.count("this adapter is for SDXL, the base is the small world") == len(names)


def test_ctrl_c_says_that_what_was_done_is_kept(stylus: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stylus_gen.api.Stylus.search", interrupted)
    done = stylus("search", "a fox")
    assert done.code == 130
    assert "stopped" in done.err


@pytest.mark.parametrize("recipe", ["", "a watercolor fox"])
def test_check_does_not_call_a_recipe_good_that_names_no_adapter(stocked: Run, recipe: str) -> None:
    done = stocked("check", recipe)
    assert done.code == 2
    assert "names no adapter" in done.err


def test_eval_composer_refuses_prompts_that_used_none_of_the_adapters(stylus: Run, tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps({"prompt": "a fox", "prompt_without_triggers": "a fox", "adapters": {"999": 1.0}}))
    done = stylus("eval", "composer", "--adapters", str(write_catalogue(tmp_path)), "--gold", str(gold))
    assert done.code == 2
    assert "none of the 1 prompts" in done.err


def test_check_fails_on_an_error_so_that_scripts_can_ask(stocked: Run) -> None:
    assert stocked("check", "a cat <lora:nosuch:1>").code == 3
    assert stocked("check", "wanostyle <lora:wano_saga_style:0.8>").code == 0


def test_a_thread_waits_for_approval_and_changes_by_a_line_in_silence(stocked: Run) -> None:
    weight = stocked("plan", "wanostyle", "--thread", "t", "--approve", "--json").json["assignments"][0]["weight"]
    assert "waits for approval" in stocked("generate", "--thread", "t").err
    revised = stocked("revise", "t", "less of the wano saga style", "--json")
    assert revised.json["assignments"][0]["weight"] < weight
    assert revised.err == ""
    assert stocked("revise", "t", "accept").code == 0


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_drawn(
    stylus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLUS_FAMILY", "world")
    (tmp_path / "file").write_text("")
    done = stylus("generate", "a penguin", "--out", "file")
    assert done.code == 2
    assert "--out" in done.err


NOBODY_S = (
    "Foo [/bar] style",
    "[link=https://example.org]here[/link]",
    "[sdxl] nice style",
    ":smile: \x1b]0;x\x07 \x9b2J",
)


@pytest.mark.parametrize("name", NOBODY_S)
def test_nothing_from_outside_is_markup_or_commands_the_terminal(stylus: Run, tmp_path: Path, name: str) -> None:

    odd = model(9, name, tags=["style"], triggers=["oddtrigger"], description=name, file="odd")
    stylus("import", str(write_catalogue(tmp_path, [odd])))
    words = [word for word in name.split() if word.isprintable()]
    for command in (
        ["show", "odd"],
        ["search", "oddtrigger"],
        ["search", f"oddtrigger {name}"],
        ["plan", f"oddtrigger {name}"],
        ["plan", f"oddtrigger {name}", "--json"],
        ["check", f"{name} <lora:odd:1>"],
        ["show", f"{name} nobody"],
    ):
        done = stylus(*command)
        said = done.out + done.err
        assert done.code in (0, 2, 3), done.err
        assert all(word in said for word in words), command
        assert all(c.isprintable() or c == "\n" for c in said), command


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "a \udcff"],
        ["show", "\udcff"],
        ["check", "\udcff <lora:x:1>"],
        ["revise", "\udcff", "less fox"],
        ["import", "\udcff"],
        ["replay", "\udcff.png"],
        ["doctor", "--base", "\udcff"],
        ["search", "x" * 100_000],
        ["show", "x" * 100_000],
        ["check", "x" * 100_000],
        ["check", f"{'x' * 100_000}.png"],
        ["check", f"{'x' * 100_000}.json"],
        ["check", "a fox " + "<lora:x:1>" * 9_000],
        ["revise", "x" * 100_000, "less fox"],
        ["plan", "wanostyle", "--thread", "x" * 100_000],
        ["plan", "wanostyle", "--negative", "x" * 100_000],
        ["plan", "wanostyle", "--pin", "x" * 100_000],
        ["plan", "wanostyle", "--out", "x" * 100_000],
        ["search", "wanostyle", "--base", "x" * 100_000],
        ["generate", "--plan", "x" * 100_000],
        ["replay", "x" * 100_000],
    ],
    ids=lambda arguments: " ".join(a[:12] for a in arguments).encode("ascii", "replace").decode(),
)
def test_an_argument_that_is_no_text_or_far_too_long_gets_one_sentence(stocked: Run, arguments: list[str]) -> None:
    done = stocked(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("stylus: ")
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 2_000


def test_pins_bans_and_caps_can_be_given_on_the_command_line(stocked: Run) -> None:
    def names(*more: str) -> list[str]:
        plan = stocked("plan", "1girl, wanostyle, zelphira, standing", *more, "--json").json
        return sorted(a["name"] for a in plan["assignments"])

    assert names() == ["Wano Saga Style", "Zelphira of Astermoor"]
    assert names("--pin", "Kimono Deluxe", "--ban", "Wano Saga Style") == ["Kimono Deluxe", "Zelphira of Astermoor"]
    assert len(names("--max-adapters", "1")) == 1
    assert names("--max-adapters", "0") == []
    plan = stocked("plan", "wanostyle", "--nsfw-level", "4", "--images", "8", "--diversity", "1", "--json").json
    assert plan["policy"]["nsfw_level"] == 4


@pytest.mark.parametrize(
    "own", [["--pin", "Misty Forest"], ["--ban", "x"], ["--max-adapters", "0"], ["--diversity", "0"], ["--seed", "0"],
            ["--nsfw-level", "1"], ["--profile", "strict"], ["--negative", "x"]]
)  # fmt: skip
def test_what_a_plan_holds_cannot_be_given_beside_it(stocked: Run, tmp_path: Path, own: list[str]) -> None:
    stocked("plan", "wanostyle", "--out", "plan.json")
    done = stocked("generate", "--plan", "plan.json", *own)
    assert done.code == 2
    assert own[0] in done.err


@pytest.mark.parametrize("prompt", ["<lora:fox:0.8>", " <lora:fox:1>, <lyco:ink> ", "< LoRA : x >"])
def test_a_prompt_of_nothing_but_tags_is_no_prompt(stocked: Run, prompt: str) -> None:
    done = stocked("plan", prompt)
    assert done.code == 2
    assert "nothing but <lora:" in done.err
    assert "--pin" in done.err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("negative_prompt", "blurry"),
        ("max_adapters", 1),
        ("diversity", 0.5),
        ("family", "sd15"),
        ("base", "somebody/base-sd15"),
        ("policy", {"profile": "commercial", "nsfw_level": 2, "installed_only": False}),
        ("budget", {"model_calls": 1, "tokens": 2, "seconds": 3.0}),
    ],
)
def test_every_field_of_a_request_can_be_given_over_the_settings(stocked: Run, field: str, value: object) -> None:
    from stylus_gen import Stylus

    with Stylus(family="sd15", profile="strict", max_adapters=3) as stylus:
        given = {"family": "sd15"} | {field: value}
        request = stylus.request("wanostyle", **given)
        assert request.model_dump()[field] == value
        assert stylus.plan("wanostyle", **given).prompt == "wanostyle"


def test_one_pin_may_be_a_name_and_a_wrong_field_is_named(stocked: Run) -> None:
    from stylus_gen import Stylus
    from stylus_gen.tools.errors import BadRequest

    with Stylus(family="sd15") as stylus:
        (pinned,) = stylus.plan("a cat", pinned="Misty Forest").assignments
        assert pinned.name == "Misty Forest"
        with pytest.raises(BadRequest, match="max_adapter"):
            stylus.plan("a cat", max_adapter=2)
        with pytest.raises(BadRequest, match="sd99"):
            stylus.plan("a cat", family="sd99")
        for wrong, said in (
            ({"pinned": 3}, "pinned: expected a list"),
            ({"pinned": [None]}, "pinned.0: expected text"),
            ({"base": 3}, "the base is int; expected text"),
            ({"policy": "strict"}, "policy: expected an object with the fields of Policy"),
            ({"policy": {"nsfw_level": 99}}, "policy.nsfw_level: expected 31 or less"),
            ({"policy": {"level": 1}}, "policy.level: there is no such field"),
            ({"policy": {"profile": "free"}}, "policy.profile: expected 'personal', 'commercial' or 'strict'"),
            ({"budget": 3}, "budget: expected an object with the fields of Budget"),
            ({"seed": -1}, "seed: expected 0 or more"),
            ({"seed": "x"}, "seed: expected a whole number"),
            ({"seed": 1.5}, "seed: expected a whole number"),
            ({"images": 1000}, "images: expected 64 or less"),
            ({"diversity": "x"}, "diversity: expected a number"),
        ):
            with pytest.raises(BadRequest, match=said):
                stylus.plan("a cat", **wrong)
        for given, said in (
            ({"nsfw_level": 2}, r"policy=Policy\(nsfw_level=…\).*Stylus\(nsfw_level=…\)"),
            ({"profile": "strict"}, r"policy=Policy\(profile=…\).*Stylus\(profile=…\)"),
            ({"installed_only": True}, r"policy=Policy\(installed_only=…\).*Stylus\(installed_only=…\)"),
            ({"model_calls": 1}, r"budget=Budget\(model_calls=…\).*Stylus\(model_calls=…\)"),
            ({"model_tokens": 1}, r"budget=Budget\(tokens=…\).*Stylus\(model_tokens=…\)"),
            ({"seconds": 1}, r"budget=Budget\(seconds=…\).*Stylus\(model_seconds=…\)"),
            ({"steps": 20}, r"generate\(plan, render=RenderSettings\(steps=…\)\).*Stylus\(steps=…\)"),
            ({"device": "cpu"}, r"Stylus\(device=…\)"),
            ({"ban": ["x"]}, "'ban'.*did you mean 'banned'"),
            ({"max_adapter": 2}, "'max_adapter'.*did you mean 'max_adapters'"),
            ({"zzz": 1}, "'zzz'.*the arguments are prompt, images, seed"),
        ):
            with pytest.raises(BadRequest, match=said):
                stylus.plan("a cat", **given)
        for call in (stylus.plan, stylus.search, stylus.card, stylus.check):
            with pytest.raises(BadRequest):
                call(None)
        (twice,) = stylus.plan("a cat", pinned=["Misty Forest", "misty forest"]).assignments
        assert twice.name == "Misty Forest"


def test_a_pasted_text_keeps_its_seed_and_is_searched_for_by_its_prompt(stocked: Run) -> None:
    pasted = "wanostyle\nNegative prompt: zelphira\nSteps: 20, Sampler: Euler a, Seed: 77"
    plan = stocked("plan", pasted, "--json").json
    assert (plan["seed"], [a["name"] for a in plan["assignments"]]) == (77, ["Wano Saga Style"])
    assert stocked("plan", pasted, "--seed", "3", "--json").json["seed"] == 3
    for settings in ("seed: 4294967295", "Steps: 20\nSeed: 4294967295"):
        assert stocked("plan", f"wanostyle\n{settings}", "--json").json["seed"] == 4294967295
    found = {name: stocked("search", name, "--json").json["candidates"] for name in (pasted, "wanostyle")}
    assert found[pasted] == found["wanostyle"]


def test_index_check_says_whether_the_index_agrees_with_the_cards_and_rebuild_mends_it(
    stocked: Run, database_url: str
) -> None:
    assert "holds 8 documents and agrees with the cards" in stocked("index", "--check").out
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("UPDATE search_keys SET documents = 0 WHERE documents = 1")
    done = stocked("index", "--check")
    assert done.code == 4
    assert "words with a wrong count" in done.out
    assert "stylus index --rebuild" in done.out
    assert stocked("index", "--rebuild", "--json").json == {**Audit(documents=8)._asdict(), "sound": True}
    assert stocked("index", "--check").code == 0


def test_a_full_disk_leaves_the_plan_that_was_there(stocked: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("old")
    with full_disk(500):
        done = stocked("plan", "a cat", "--out", "plan.json")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "'plan.json' cannot be written" in done.err
    assert (tmp_path / "plan.json").read_text() == "old"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"masks": [[]] * 100_000}, "masks: "),
        ({"prompt": "x" * 400_000}, "prompt: "),
        ({"negative_prompt": "x" * 400_000}, "negative_prompt: "),
        ({"warnings": ["x" * 400_000]}, "warnings.0: "),
        ({"warnings": ["x" * 20_000] * 300}, "more than 4,194,304 bytes"),
    ],
)
def test_a_plan_that_holds_too_much_is_refused_in_a_sentence(
    stocked: Run, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    plan = stocked("plan", "a cat", "--json").json
    (tmp_path / "plan.json").write_text(json.dumps(plan | change))
    done = stocked("generate", "--plan", "plan.json")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert says in done.err and len(done.err) < 500


def test_shipped_adapters_draw_again_after_their_imported_copies_were_deleted(
    stylus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylus_gen.world import adapters_path

    monkeypatch.setenv("STYLUS_FAMILY", "world")
    shutil.copytree(adapters_path(), tmp_path / "mine")
    assert stylus("import", "mine").code == 0
    shutil.rmtree(tmp_path / "mine")
    drawn = stylus("generate", "a penguin, glossy 3D style", "--seed", "1", "--json")
    assert drawn.code == 0, drawn.err
    assert "Glossy 3D" in {a["name"] for a in drawn.json["plan"]["assignments"]}
    assert "nothing is at" in stylus("import", "mine").err
    assert stylus("show", "penguin_world").code == 0


def test_problems_are_shown_by_reason_and_listed_in_a_file(
    stylus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLUS_HOME", str(tmp_path / "home"))
    models = [model(n, f"Fox {n}", tags=[], triggers=["fox"], type="VAE") for n in range(1, 30)]
    path = str(write_catalogue(tmp_path, [*models, model(99, "Crow", tags=[], triggers=["crow"])]))
    shown = stylus("import", path).out
    assert shown.count("it is a VAE") == 1 and "29" in shown
    listed = tmp_path / "home" / "import-problems.txt"
    assert str(listed) in shown.replace("\n", "")
    assert listed.read_text("utf-8").count("it is a VAE") == 29
    told = stylus("import", path, "--json").json
    assert (len(told["problems"]), told["problems_file"]) == (29, str(listed))
    assert [(r["count"], len(r["examples"])) for r in told["reasons"]] == [(29, 3)]


def test_an_empty_path_imports_nothing(stylus: Run) -> None:
    done = stylus("import", "")
    assert (done.code, done.out) == (2, "")
    assert "the path is empty" in done.err
