"""The README's promises, kept: its Python runs, its commands and settings exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stylus_gen.doors.cli import app
from stylus_gen.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_in_the_readme_runs_on_a_fresh_machine(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLUS_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    for program in blocks("python"):
        exec(program, made)
    assert "penguin" in str(made["answer"]).lower()
    result = made["result"]
    assert [path.suffix for path in result.images] == [".png"] * 4  # type: ignore[attr-defined]
    assert all(path.is_file() for path in result.images)  # type: ignore[attr-defined]
    assert len(result.recipes) == 4  # type: ignore[attr-defined]


def test_the_mcp_configuration_in_the_readme_starts_a_command_that_exists() -> None:
    (block,) = blocks("json")
    server = json.loads(block)["mcpServers"]["stylus"]
    assert server["command"] == "stylus"
    assert server["args"][0] in get_command(app).commands  # type: ignore[attr-defined]


def commands_said(text: str) -> list[str]:
    """List the `stylus …` lines of a page: in its console blocks, its tables and its sentences."""
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    said = [words for line in lines for words in re.findall(r"(?:^\$ |&& )(?:\S*/)?stylus ([a-z].*)", line)]
    return said + re.findall(r"`stylus ([a-z][^`]*)`", text)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_command_and_option_in_the_documents_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    said = commands_said(text)
    assert said
    for line in said:
        name, *rest = line.split("#")[0].split()
        command = COMMANDS[name]
        if getattr(command, "commands", None) and rest and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line
    every = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    spoken = re.findall(r"`(--[a-z-]+)[^`]*`", text)
    assert set(spoken) <= every


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_in_the_documents_exists(page: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    said = re.findall(r"(?:^\$ |`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert said
    assert set(said) <= set(targets)


def test_every_setting_in_the_readme_exists() -> None:
    known = {f"STYLUS_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"STYLUS_[A-Z_]*[A-Z]", README)) <= known
    for name in re.findall(r"`_([A-Z]+)`", README):
        assert f"STYLUS_{name}" in known


def test_every_command_is_in_the_readme() -> None:
    assert set(re.findall(r"\| `stylus (\w+)", README)) >= set(COMMANDS)
