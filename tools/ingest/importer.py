"""One way in: a file of Civitai objects, one adapter file, or a folder with any of both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import AdapterRejected, BadRequest
from stylus_gen.tools.ingest.civitai import is_site_object, read_object
from stylus_gen.tools.ingest.community import community_card, is_community
from stylus_gen.tools.ingest.folder import PICKLE, PICKLES, Inventory, is_storable, read_adapter, shown, take_stock
from stylus_gen.tools.ingest.hashes import Hashed, hash_files
from stylus_gen.tools.ingest.rows import SUFFIXES, JsonRow, read_rows
from stylus_gen.tools.ingest.summary import ImportLog, ImportSummary, Problem
from stylus_gen.tools.progress import Bytes, Progress
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.index import update_index
from stylus_gen.tools.store.adapters import upsert_cards
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.store.places import Place, Retired, retire, used_paths

OTHERS = "is JSON of another tool: no Civitai object, and no note beside an adapter"


def import_adapters(db: Database, path: Path, *, embedder: Embedder, progress: Progress) -> ImportSummary:
    """Import what ``path`` holds and bring the search index up to date; run it again whenever it changes.

    What ``path`` held and holds no more is retired. Bad rows and files are reported in the summary and never stop it.
    An import that is killed has kept what it wrote; the next one goes on, with the index too. Raises BadRequest if
    ``path`` is nothing that can be imported, AdapterRejected if it is a pickle.
    """
    start = time.monotonic()
    stock = _open(_settle(path))
    hashed = hash_files(db, stock.found.adapters, progress)
    gone = _retire(db, stock, hashed)
    if not (any(stock.found) or any(gone)):
        raise BadRequest(stock.empty)
    log = ImportLog()
    for problem in stock.found.problems:
        log.add(problem)
    counts = upsert_cards(db, log.filter(_read_tables(stock, progress)), source="civitai")
    counts += upsert_cards(db, log.filter(_read_folder(db, stock, hashed, progress)), source="folder")
    for told, kept in counts.reuploads:
        log.add(Problem(told, f"the same file was uploaded as {kept}: one card", skipped=False))
    update_index(db, embedder, progress)
    return ImportSummary(
        taken=counts.taken,
        updated=counts.updated,
        merged=counts.merged,
        unchanged=counts.unchanged,
        retired=gone.lost,
        skipped=log.skipped,
        ignored=log.ignored,
        problems=tuple(log.problems),
        problem_count=log.count,
        seconds=round(time.monotonic() - start, 2),
    )


class Stock(NamedTuple):
    """What an import will read, and the ``scope`` it answers for: what is not found there is gone.

    ``empty`` says what is wrong where there is nothing.
    """

    root: Path
    scope: Path | None
    found: Inventory
    empty: str = ""


def _settle(path: Path) -> Path:
    """Make a path absolute, its links followed; the last one is kept where it names a file."""
    said = shown(path)[:200]
    try:
        path = path.expanduser()
        settled = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        os.path.realpath(settled)
        settled.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path of this machine"
        raise BadRequest(f"{said!r} cannot be opened ({reason}): give a folder of LoRAs or a file") from None
    if not is_storable(settled):
        raise BadRequest(f"{said!r} is not UTF-8: rename the file or folder")
    return settled


def _open(path: Path) -> Stock:
    said, kind = repr(str(path)), _suffixed(path)
    if path.is_dir():
        nothing = f"the folder {said} holds no .safetensors and no .json, .jsonl or .jsonl.gz"
        return Stock(path, path, take_stock(path), nothing)
    if not path.exists():
        nothing = f"nothing is at {said}: expected a folder of LoRAs, or .json, .jsonl or .jsonl.gz"
        return Stock(path.parent, path, Inventory([], [], []), nothing)
    if not path.is_file():
        raise BadRequest(f"{said} is no regular file: expected a folder of LoRAs or a file")
    if kind.endswith(".safetensors"):
        return Stock(path.parent, path, Inventory([path], [], []))
    if kind.endswith(SUFFIXES):
        return Stock(path.parent, None, Inventory([], [path], []))
    if kind.endswith(PICKLES):
        raise AdapterRejected(f"{path.name!r} {PICKLE}")
    raise BadRequest(
        f"{path.name!r} cannot be imported: expected a folder, .safetensors, .json, .jsonl, .jsonl.gz or .civitai.info"
    )


def _suffixed(path: Path) -> str:
    """Give the name that says what a file is: its own, or that of the file it links to."""
    own = path.name.lower()
    if own.endswith((".safetensors", *SUFFIXES, *PICKLES)):
        return own
    return os.path.realpath(path).lower()


def _retire(db: Database, stock: Stock, hashed: Mapping[Path, Hashed]) -> Retired:
    if stock.scope is None:
        return Retired()
    return retire(db, stock.scope, {p.path: p.sha256 for p in hashed.values() if isinstance(p, Place)})


def _read_tables(stock: Stock, progress: Progress) -> Iterator[Card | Problem]:
    paths = stock.found.tables
    sizes = [path.stat().st_size for path in paths]
    done, total = 0, Bytes(sum(sizes))
    for path, size in zip(paths, sizes, strict=True):
        rows = read_rows(path, _advance(progress, done, total, path.name))
        yield from _read_rows(rows) if stock.scope is None else _leave_alone(path, rows)
        done += size


def _read_rows(rows: Iterable[JsonRow | Problem]) -> Iterator[Card | Problem]:
    for row in rows:
        yield from [row] if isinstance(row, Problem) else _read_row(*row)


def _leave_alone(path: Path, rows: Iterable[JsonRow | Problem]) -> Iterator[Card | Problem]:
    """Read a file that lies among adapters: most are other tools', which is said once a file and is no fault."""
    others = 0
    for row in rows:
        if isinstance(row, Problem) or is_site_object(row[1]) or is_community(row[1]):
            yield from _read_rows([row])
        elif not others:
            others += 1
            yield Problem(path.name, OTHERS, skipped=False, ignored=True)


def _read_row(where: str, value: Any) -> Iterable[Card | Problem]:
    if is_community(value):
        return [community_card(value, where)]
    return read_object(value, where)


def _read_folder(
    db: Database, stock: Stock, hashed: Mapping[Path, Hashed], progress: Progress
) -> Iterator[Card | Problem]:
    """Read the adapters, one a hash: copies are one adapter."""
    copies: dict[str, list[Path]] = {}
    for path, found in hashed.items():
        if isinstance(found, Place):
            copies.setdefault(found.sha256, []).append(path)
        else:
            yield Problem(path.relative_to(stock.root).as_posix(), _why(found))
    used = used_paths(db, list(copies))
    for done, (sha256, paths) in enumerate(copies.items()):
        place = hashed[paths[0]]
        assert isinstance(place, Place)
        progress(done, len(copies), paths[0].name)
        yield from read_adapter(place._replace(path=used.get(sha256, place.path)), paths, stock.root)


def _why(error: AdapterRejected | OSError) -> str:
    return error.message if isinstance(error, AdapterRejected) else f"cannot be read ({error.strerror})"


def _advance(progress: Progress, done: int, total: int, name: str) -> Callable[[int], None]:
    """Report bytes: how many rows a file holds is not known before its end."""
    return lambda position: progress(done + position, total, name)
