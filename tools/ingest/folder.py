"""A folder of adapter files, read by header, with the notes beside them. Opens files below the folder only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stylus_gen.tools.card import Card
from stylus_gen.tools.contents import require_adapter
from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.header import read_header
from stylus_gen.tools.ingest.hashes import Hashes
from stylus_gen.tools.ingest.rows import SUFFIXES, read_value
from stylus_gen.tools.ingest.sidecar import SIDECARS, Told, header_card
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.store.merge import join_cards

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
PICKLE = "is a pickle, which can run code when opened; get the .safetensors"
MAX_DEPTH = 32


class Inventory(NamedTuple):
    """What an import will read, in order, and what it will not."""

    adapters: list[Path]
    tables: list[Path]
    problems: list[Problem]


def take_stock(root: Path) -> Inventory:
    """List a folder's adapters and JSON files, recursively; links and pickles are problems, hidden files left out."""
    stock = Inventory([], [], [])
    _list(root, root, stock, MAX_DEPTH)
    beside = {path.with_name(path.stem + suffix) for path in stock.adapters for suffix in SIDECARS}
    tables = [path for path in stock.tables if path not in beside]
    return Inventory(sorted(stock.adapters), sorted(tables), stock.problems)


def read_adapter(hashes: Hashes, path: Path, root: Path) -> Iterator[Card | Problem]:
    """Make one card of an adapter file: header, tensors and notes joined, each field by whoever has most authority."""
    where = path.relative_to(root).as_posix()
    try:
        header = read_header(path)
        require_adapter(header, path)
        sha256, autov3 = hashes.of(path)
    except AdapterRejected as error:
        yield Problem(where, error.message)
        return
    except OSError as error:
        yield Problem(where, f"cannot be read ({error.strerror})")
        return
    key = f"file-{sha256[:16]}"
    file = Card(
        id=sha256,
        model_key=key,
        version_key=key,
        sha256=sha256,
        aliases={"autov2": sha256[:10], "autov3": autov3},
        name=path.stem,
        file_name=path.name,
        file_size=header.size,
        path=str(path),
    )
    told = header_card(header, file)
    for suffix in SIDECARS:
        told += _notes(path.with_name(path.stem + suffix), file, suffix)
    yield from (Problem(p.where or where, p.why, skipped=False) for p in told if isinstance(p, Problem))
    yield join_cards([item for item in told if not isinstance(item, Problem)])


def _list(folder: Path, root: Path, stock: Inventory, depth: int) -> None:
    where = folder.relative_to(root).as_posix()
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
        else:
            _sort(entry, path, path.relative_to(root).as_posix(), stock)


def _sort(entry: os.DirEntry[str], path: Path, where: str, stock: Inventory) -> None:
    name = entry.name.lower()
    wanted = name.endswith((".safetensors", *SUFFIXES, *PICKLES))
    if entry.is_symlink() and (wanted or entry.is_dir()):
        stock.problems.append(Problem(where, "is a link; import the folder that it points to"))
    elif name.endswith(PICKLES):
        stock.problems.append(Problem(where, PICKLE))
    elif name.endswith(".safetensors"):
        stock.adapters.append(path)
    elif name.endswith(SUFFIXES):
        stock.tables.append(path)


def _notes(path: Path, file: Card, suffix: str) -> Told:
    """Read one sidecar, if it is there."""
    if path.is_symlink() or not path.is_file():
        return []
    try:
        told = SIDECARS[suffix](read_value(path), file)
    except (ValueError, OSError) as error:
        return [Problem(path.name, f"not JSON ({str(error)[:120]})")]
    return [Problem(path.name, item.why, item.skipped) if isinstance(item, Problem) else item for item in told]
