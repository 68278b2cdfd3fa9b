"""A folder of adapter files, read by header, with the notes beside them. Opens files below the folder only.

Files are hashed once; their size, time and inode say whether they must be hashed again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.header import read_header
from stylus_gen.tools.ingest.rows import SUFFIXES, read_value
from stylus_gen.tools.ingest.sidecar import SIDECARS, Told, header_card
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.store.merge import join_cards

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
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


def read_adapter(db: Database, path: Path, root: Path) -> Iterator[Card | Problem]:
    """Make one card of an adapter file: header, tensors and notes joined, each field by whoever has most authority."""
    where = path.relative_to(root).as_posix()
    try:
        header = read_header(path)
        sha256, autov3 = file_hashes(db, path)
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


def file_hashes(db: Database, path: Path) -> tuple[str, str]:
    """Hash a file, or remember: its SHA-256, and AutoV3 (12 digits of the SHA-256 of what follows the header)."""
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
    with db.pool.connection() as conn:
        row = conn.execute(
            "SELECT sha256, autov3 FROM file_hashes WHERE path = %s AND size = %s AND mtime_ns = %s AND inode = %s", key
        ).fetchone()
        if row is None:
            row = _hash(path)
            conn.execute(
                "INSERT INTO file_hashes (path, size, mtime_ns, inode, sha256, autov3) VALUES (%s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (path) DO UPDATE SET size = EXCLUDED.size, mtime_ns = EXCLUDED.mtime_ns, "
                "inode = EXCLUDED.inode, sha256 = EXCLUDED.sha256, autov3 = EXCLUDED.autov3",
                (*key, *row),
            )
    return row[0], row[1]


def _hash(path: Path) -> tuple[str, str]:
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(8)
        head = file.read(int.from_bytes(start, "little"))
        whole.update(start + head)
        while block := file.read(2**20):
            whole.update(block)
            tensors.update(block)
    return whole.hexdigest(), tensors.hexdigest()[:12]


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
        stock.problems.append(Problem(where, "is a pickle, which can run code when opened; get the .safetensors"))
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
