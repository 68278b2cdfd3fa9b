"""The layout: imports point down and make no circle, files stay small, start-up is light, the package is whole."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"tools": 1, "agent": 2, "world": 3, "stylus_gen": 3}
FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
HEAVY = {"torch", "diffusers", "transformers", "litellm", "gradio", "langgraph", "langchain_openai", "psycopg"}


def run(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def floor_of(module: str) -> int:
    if not module.startswith("stylus_gen"):
        return 0
    parts = module.split(".")
    return {"tools": 1, "agent": 2, "sql": 0, "prompts": 0}.get(parts[1], 3) if len(parts) > 1 else 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_no_upper_floor_and_stays_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    own = FLOORS[path.relative_to(ROOT).parts[0]]
    climbs = [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and floor_of(node.module) > own
    ]
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 80
    ]
    assert climbs == []
    assert long == []
    assert source.count("\n") <= 600
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}


@pytest.mark.parametrize("path", [p for p in FILES if p.parent == ROOT / "tools" / "lora"], ids=lambda path: path.name)
def test_adapter_files_know_no_pipelines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.startswith(("diffusers", "stylus_gen.tools.diffusion"))]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("stylus_gen", *parts[parts[0] == "stylus_gen" :])).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """List our modules that a module imports when it is loaded: not in a function, not for types alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
        todo += ast.iter_child_nodes(node)
    return found & MODULES.keys()


def test_imports_make_no_circle() -> None:
    left = {module: imported(path) - {module} for module, path in MODULES.items()}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_every_folder_of_code_is_a_package_that_is_installed() -> None:
    folders = {path.parent for path in FILES} | {ROOT / "sql", ROOT / "prompts"}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(module_of(folder / "__init__.py") for folder in folders)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_path_in_the_documents_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._")
    paths = re.findall(rf"`((?:{folders})/[\w./]*)`", text) + re.findall(r"\]\(([\w./]+)\)", text)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "statement", ["import stylus_gen", "import stylus_gen.doors.cli", "import stylus_gen.tools.plan"]
)
def test_importing_a_door_pulls_in_nothing_heavy(statement: str, tmp_path: Path) -> None:
    loaded = run(sys.executable, "-c", f"{statement}, sys\nprint(*sys.modules)", cwd=tmp_path).split()
    assert HEAVY.isdisjoint(loaded)


def test_the_installed_wheel_ignores_the_users_own_tools_and_agent_folders(tmp_path: Path) -> None:
    # A copy of the sources: building in the checkout would leave a build folder behind.
    checkout = tmp_path / "checkout"
    run("git", "clone", "-q", str(ROOT), str(checkout), cwd=tmp_path)
    build = "from setuptools import build_meta as b; print(b.build_wheel(%r))" % str(tmp_path)  # noqa: UP031
    wheel = tmp_path / run(sys.executable, "-W", "ignore", "-c", build, cwd=checkout).split()[-1]
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")

    folder = tmp_path / "somebody"
    for name in ("tools", "agent", "sql", "prompts", "world"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('this is not ours')")
    program = (
        "import stylus_gen.agent, stylus_gen.tools.plan as plan, stylus_gen.sql as sql, os\n"
        "print(plan.__file__, *sorted(os.listdir(os.path.dirname(sql.__file__))))"
    )
    for options in ([], ["-P"]):
        out = run(sys.executable, *options, "-c", program, cwd=folder, PYTHONPATH=str(tmp_path / "site"))
        assert out.startswith(str(tmp_path / "site"))
        assert "001_catalogue.sql" in out


def test_the_editable_install_ignores_the_users_own_tools_and_agent_folders(tmp_path: Path) -> None:
    for name in ("tools", "agent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is not ours')")
    run(sys.executable, "-c", "import stylus_gen.agent, stylus_gen.tools.plan", cwd=tmp_path)
