"""The README's promises, kept: its Python runs, its commands and settings exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from stylus_gen.doors.cli import app
from stylus_gen.settings import Settings

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_in_the_readme_runs_on_a_fresh_machine(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLUS_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    (program,) = blocks("python")
    made: dict[str, object] = {}
    exec(program, made)
    result = made["result"]
    assert [path.suffix for path in result.images] == [".png"] * 4  # type: ignore[attr-defined]
    assert all(path.is_file() for path in result.images)  # type: ignore[attr-defined]
    assert len(result.recipes) == 4  # type: ignore[attr-defined]


def test_every_command_and_option_in_the_readme_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    said = [line for block in blocks("console") for line in block.splitlines() if "stylus " in line]
    assert said
    for line in said:
        for words in re.findall(r"(?:^|\s)stylus ([a-z].*)", line):
            name, *rest = words.split()
            known = {option for parameter in commands[name].params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= known, line
    for name in re.findall(r"\| `stylus (\w+)", README):
        assert name in commands


def test_every_setting_in_the_readme_exists() -> None:
    known = {f"STYLUS_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"STYLUS_[A-Z_]*[A-Z]", README)) <= known
    for name in re.findall(r"`_([A-Z]+)`", README):
        assert f"STYLUS_{name}" in known


def test_every_command_is_in_the_readme() -> None:
    assert set(re.findall(r"\| `stylus (\w+)", README)) >= set(get_command(app).commands)  # type: ignore[attr-defined]
