"""Read a folder of adapter files: their headers and the sidecars beside them. Opens only files below the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.ingest.civitai import MAX_NAME
from stylus_gen.tools.ingest.rows import SUFFIXES, read_value
from stylus_gen.tools.ingest.sidecar import SIDECARS, SourceCards, header_card
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.ingest.text import clean_line
from stylus_gen.tools.lora.contents import require_adapter
from stylus_gen.tools.lora.header import read_header
from stylus_gen.tools.store.places import Place
from stylus_gen.tools.store.provenance import join_cards

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
PICKLE = "is a pickle, which can run code when opened; get the .safetensors"
LINK = "is a link out of the folder; import the folder it points to"
LOOP = "is a link to a folder that this import reads already, so it is not followed"
BROKEN_LINK = "is a link that leads to no file: delete it, or put the file back"
MAX_DEPTH = 32


class Inventory(NamedTuple):
    """The files that an import will read, sorted, and the problems found while listing them."""

    adapters: list[Path]
    tables: list[Path]
    problems: list[Problem]


def list_files(root: Path) -> Inventory:
    """List a folder's adapters and JSON files recursively; links that lead out of it and pickles are problems.

    Hidden files are skipped.
    """
    found = Inventory([], [], [])
    _list(root, root, found, MAX_DEPTH)
    beside = {path.with_name(path.stem + suffix) for path in found.adapters for suffix in SIDECARS}
    tables = [path for path in found.tables if path not in beside]
    return Inventory(sorted(found.adapters), sorted(tables), found.problems)


def read_card(place: Place, paths: Sequence[Path], root: Path) -> Iterator[Card | Problem]:
    """Make one card from an adapter file: merge its header, tensors and sidecars by authority.

    ``place`` gives the hashes and the path in use, ``paths`` are all paths of the file below ``root``.
    """
    path, where = Path(place.path), paths[0].relative_to(root).as_posix()
    try:
        header = read_header(paths[0].resolve())
        require_adapter(header, paths[0])
    except AdapterRejected as error:
        yield Problem(where, error.message)
        return
    key = f"file-{place.sha256[:16]}"
    file = Card(
        id=place.sha256,
        model_key=key,
        version_key=key,
        sha256=place.sha256,
        aliases={"autov2": place.sha256[:10], "autov3": place.autov3},
        name=clean_line(path.stem, MAX_NAME) or key,
        file_name=path.name,
        file_size=header.size,
        path=place.path,
    )
    cards = header_card(header, file)
    for beside in paths:
        for suffix in SIDECARS:
            cards += _read_sidecar(beside.with_name(beside.stem + suffix), file, suffix, root)
    yield from (Problem(p.where or where, p.why, skipped=False) for p in cards if isinstance(p, Problem))
    yield join_cards([item for item in cards if not isinstance(item, Problem)])


def shown(path: Path | str) -> str:
    """Write a path as printable UTF-8; undecodable bytes are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_storable(path: Path) -> bool:
    """Say whether a path is valid UTF-8, as the database requires."""
    return shown(path) == str(path)


def leads_out(path: Path, root: Path) -> bool:
    """Say whether a link leads anywhere but to a file below ``root`` or in the same Hugging Face cache entry.

    That cache keeps ``snapshots/<revision>/<name>`` as links to ``blobs/<hash>`` in the same entry.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return True
    blobs = [parent.parent / "blobs" for parent in path.parents if parent.name == "snapshots"]
    return not target.is_file() or not (target.is_relative_to(root) or target.parent in blobs)


def _list(folder: Path, root: Path, found: Inventory, depth: int) -> None:
    where = shown(folder.relative_to(root).as_posix())
    if depth == 0:
        found.problems.append(Problem(where, f"is more than {MAX_DEPTH} folders deep"))
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.problems.append(Problem(where, f"cannot be listed ({error.strerror})"))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            _list(path, root, found, depth - 1)
        elif why := _sort(entry, path, root, found):
            found.problems.append(Problem(shown(path.relative_to(root).as_posix()), why))


def _sort(entry: os.DirEntry[str], path: Path, root: Path, found: Inventory) -> str:
    """Add a file to the inventory, or return what is wrong with it; other files are skipped."""
    name = entry.name.lower()
    wanted = name.endswith((".safetensors", *SUFFIXES))
    if entry.is_symlink() and leads_out(path, root):
        return _why_not_followed(path, root) if wanted or name.endswith(PICKLES) or path.is_dir() else ""
    if name.endswith(PICKLES):
        return PICKLE
    if not wanted:
        return ""
    if not path.is_file():
        return "is not a regular file"
    if not is_storable(path):
        return "has a name that is not UTF-8: rename it or its folder"
    (found.adapters if name.endswith(".safetensors") else found.tables).append(path)
    return ""


def _why_not_followed(path: Path, root: Path) -> str:
    if not path.exists():
        return BROKEN_LINK
    return LOOP if path.resolve().is_relative_to(root) else LINK


def _read_sidecar(path: Path, file: Card, suffix: str, root: Path) -> SourceCards:
    """Read one sidecar, if it exists."""
    if not path.is_file() or (path.is_symlink() and leads_out(path, root)):
        return []
    try:
        cards = SIDECARS[suffix](read_value(path), file)
    except (ValueError, OSError) as error:
        return [Problem(path.name, f"not JSON ({str(error)[:120]})")]
    return [Problem(path.name, item.why, item.skipped) if isinstance(item, Problem) else item for item in cards]
