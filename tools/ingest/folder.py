"""A folder of adapter files, read by header, with the notes beside them. Opens files below the folder only."""

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
LINK = "is a link out of the folder; import the folder that it points to"
MAX_DEPTH = 32


class Inventory(NamedTuple):
    """What an import will read, in order, and what it will not."""

    adapters: list[Path]
    tables: list[Path]
    problems: list[Problem]


def take_stock(root: Path) -> Inventory:
    """List a folder's adapters and JSON files, recursively; links that lead out of it and pickles are problems.

    Hidden files are left out.
    """
    stock = Inventory([], [], [])
    _list(root, root, stock, MAX_DEPTH)
    beside = {path.with_name(path.stem + suffix) for path in stock.adapters for suffix in SIDECARS}
    tables = [path for path in stock.tables if path not in beside]
    return Inventory(sorted(stock.adapters), sorted(tables), stock.problems)


def read_adapter(place: Place, paths: Sequence[Path], root: Path) -> Iterator[Card | Problem]:
    """Make one card of an adapter file: header, tensors and notes joined, each field by whoever has most authority.

    ``place`` gives the hashes and the path in use, ``paths`` all paths below ``root`` that hold the file.
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
    told = header_card(header, file)
    for beside in paths:
        for suffix in SIDECARS:
            told += _notes(beside.with_name(beside.stem + suffix), file, suffix, root)
    yield from (Problem(p.where or where, p.why, skipped=False) for p in told if isinstance(p, Problem))
    yield join_cards([item for item in told if not isinstance(item, Problem)])


def shown(path: Path | str) -> str:
    """Write a path so that it can be printed and stored, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_storable(path: Path) -> bool:
    """Say whether a path is text: the database holds UTF-8, a file system any bytes."""
    return shown(path) == str(path)


def leads_out(path: Path, root: Path) -> bool:
    """Say whether a link leads to anything but a file below ``root`` or of the same Hugging Face cache entry.

    That cache keeps ``snapshots/<revision>/<name>`` as links to ``blobs/<hash>`` beside them.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return True
    blobs = [parent.parent / "blobs" for parent in path.parents if parent.name == "snapshots"]
    return not target.is_file() or not (target.is_relative_to(root) or target.parent in blobs)


def _list(folder: Path, root: Path, stock: Inventory, depth: int) -> None:
    where = shown(folder.relative_to(root).as_posix())
    if depth == 0:
        stock.problems.append(Problem(where, f"lies more than {MAX_DEPTH} folders deep"))
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        stock.problems.append(Problem(where, f"cannot be listed ({error.strerror})"))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            _list(path, root, stock, depth - 1)
        elif why := _sort(entry, path, root, stock):
            stock.problems.append(Problem(shown(path.relative_to(root).as_posix()), why))


def _sort(entry: os.DirEntry[str], path: Path, root: Path, stock: Inventory) -> str:
    """Put a file where it belongs, or say what is wrong with it; what is of no interest is neither."""
    name = entry.name.lower()
    wanted = name.endswith((".safetensors", *SUFFIXES))
    if entry.is_symlink() and leads_out(path, root):
        return LINK if wanted or name.endswith(PICKLES) or path.is_dir() else ""
    if name.endswith(PICKLES):
        return PICKLE
    if not wanted:
        return ""
    if not path.is_file():
        return "is no regular file"
    if not is_storable(path):
        return "has a name that is not UTF-8: rename it, or the folder that it is in"
    (stock.adapters if name.endswith(".safetensors") else stock.tables).append(path)
    return ""


def _notes(path: Path, file: Card, suffix: str, root: Path) -> SourceCards:
    """Read one sidecar, if it is there."""
    if not path.is_file() or (path.is_symlink() and leads_out(path, root)):
        return []
    try:
        told = SIDECARS[suffix](read_value(path), file)
    except (ValueError, OSError) as error:
        return [Problem(path.name, f"not JSON ({str(error)[:120]})")]
    return [Problem(path.name, item.why, item.skipped) if isinstance(item, Problem) else item for item in told]
