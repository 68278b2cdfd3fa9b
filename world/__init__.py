"""The small world: a tiny base model with working adapters, for any machine.

`base_path`, `adapters_path` and `judge_path` give the shipped folders after comparing every file with the manifest.
Importing this module opens no file and needs neither torch nor the training extra.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from stylus_gen.tools.errors import Unavailable

DATA = Path(__file__).parent / "data"


def base_path(data: Path = DATA) -> Path:
    """Give the folder of the base model. Raises Unavailable naming a file that is missing or damaged."""
    return _checked(data, "base")


def adapters_path(data: Path = DATA) -> Path:
    """Give the folder of adapters and their cards, checked in the same way."""
    return _checked(data, "adapters")


def adapter_stems(data: Path = DATA) -> dict[str, str]:
    """Map the SHA-256 of every shipped adapter, which is its id, to its file's stem."""
    hashes: dict[str, str] = json.loads((data / "manifest.json").read_text("utf-8"))
    return {h: Path(name).stem for name, h in hashes.items() if name.startswith("adapters/") and name.endswith("rs")}


def judge_path(data: Path = DATA) -> Path:
    """Give the folder of the judge that scores pictures of this world, checked in the same way."""
    return _checked(data, "judge")


def write_manifest(data: Path) -> None:
    """Record the SHA-256 of every shipped file under ``base``, ``adapters`` and ``judge``."""
    files = sorted(p for part in ("base", "adapters", "judge") for p in (data / part).rglob("*") if p.is_file())
    hashes = {p.relative_to(data).as_posix(): _sha256(p) for p in files}
    (data / "manifest.json").write_text(json.dumps(hashes, indent=1) + "\n", "utf-8")


@cache
def _checked(data: Path, part: str) -> Path:
    manifest = data / "manifest.json"
    if not manifest.is_file():
        raise Unavailable(
            f"the small world's files are not at {str(data)!r}: install stylus-gen again, "
            "or train them with `python -m stylus_gen.world.train`",
            path=str(data),
        )
    for name, expected in json.loads(manifest.read_text("utf-8")).items():
        if name.startswith(f"{part}/"):
            _check(data / name, expected)
    return data / part


def _check(path: Path, expected: str) -> None:
    found = _sha256(path) if path.is_file() else "no file"
    if found != expected:
        raise Unavailable(
            f"the small world's file {str(path)!r} is damaged: expected SHA-256 {expected}, found {found}; "
            "install stylus-gen again",
            path=str(path), expected=expected, found=found,
        )  # fmt: skip


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
