"""Import a file of Civitai objects, one adapter file, or a folder of both."""

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
from stylus_gen.tools.ingest.folder import PICKLE, PICKLES, Inventory, is_storable, list_files, read_card, shown
from stylus_gen.tools.ingest.hashes import Hashed, hash_files
from stylus_gen.tools.ingest.rows import SUFFIXES, JsonRow, read_rows
from stylus_gen.tools.ingest.summary import ImportLog, ImportSummary, Problem
from stylus_gen.tools.progress import Bytes, Progress
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.index import update_index
from stylus_gen.tools.store.adapters import upsert_cards
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.store.places import Place, Retired, retire, used_paths

OTHERS = "is JSON of another tool: neither a Civitai object nor a sidecar of an adapter"


def import_adapters(db: Database, path: Path, *, embedder: Embedder, progress: Progress) -> ImportSummary:
    """Import the adapters at ``path`` and update the search index; run it again whenever ``path`` changes.

    Adapters whose files have gone from ``path`` are retired. Invalid rows and files are reported in the summary and
    never stop the import. An import that is killed keeps what it wrote; the next one continues, index included. Raises
    BadRequest if ``path`` cannot be imported, AdapterRejected if it is a pickle.
    """
    start = time.monotonic()
    selection = _open(_resolve(path))
    hashed = hash_files(db, selection.found.adapters, progress)
    gone = _retire(db, selection, hashed)
    if not (any(selection.found) or any(gone)):
        raise BadRequest(selection.empty)
    log = ImportLog()
    for problem in selection.found.problems:
        log.add(problem)
    counts = upsert_cards(db, log.filter(_read_tables(selection, progress)), source="civitai")
    counts += upsert_cards(db, log.filter(_read_folder(db, selection, hashed, progress)), source="folder")
    for uploaded, kept in counts.reuploads:
        log.add(Problem(uploaded, f"the same file was uploaded as {kept}: one card", skipped=False))
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


class Selection(NamedTuple):
    """What an import will read. Adapters in ``scope`` whose files are not found are retired.

    ``empty`` is the error message if nothing is found.
    """

    root: Path
    scope: Path | None
    found: Inventory
    empty: str = ""


def _resolve(path: Path) -> Path:
    """Make a path absolute and resolve its links, but keep a last link to a file."""
    label = shown(path)[:200]
    try:
        path = path.expanduser()
        resolved = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        os.path.realpath(resolved)
        resolved.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path on this machine"
        raise BadRequest(f"{label!r} cannot be opened ({reason}): give a folder of LoRAs or a file") from None
    if not is_storable(resolved):
        raise BadRequest(f"{label!r} is not UTF-8: rename the file or folder")
    return resolved


def _open(path: Path) -> Selection:
    label, kind = repr(str(path)), _suffixed(path)
    if path.is_dir():
        nothing = f"the folder {label} holds no .safetensors, .json, .jsonl or .jsonl.gz"
        return Selection(path, path, list_files(path), nothing)
    if not path.exists():
        nothing = f"nothing is at {label}: expected a folder of LoRAs, or .json, .jsonl or .jsonl.gz"
        return Selection(path.parent, path, Inventory([], [], []), nothing)
    if not path.is_file():
        raise BadRequest(f"{label} is not a regular file: expected a folder of LoRAs or a file")
    if kind.endswith(".safetensors"):
        return Selection(path.parent, path, Inventory([path], [], []))
    if kind.endswith(SUFFIXES):
        return Selection(path.parent, None, Inventory([], [path], []))
    if kind.endswith(PICKLES):
        raise AdapterRejected(f"{path.name!r} {PICKLE}")
    raise BadRequest(
        f"{path.name!r} cannot be imported: expected a folder, .safetensors, .json, .jsonl, .jsonl.gz or .civitai.info"
    )


def _suffixed(path: Path) -> str:
    """Return the lower-case name with a known suffix: the file's own, or that of the file it links to."""
    own = path.name.lower()
    if own.endswith((".safetensors", *SUFFIXES, *PICKLES)):
        return own
    return os.path.realpath(path).lower()


def _retire(db: Database, selection: Selection, hashed: Mapping[Path, Hashed]) -> Retired:
    if selection.scope is None:
        return Retired()
    return retire(db, selection.scope, {p.path: p.sha256 for p in hashed.values() if isinstance(p, Place)})


def _read_tables(selection: Selection, progress: Progress) -> Iterator[Card | Problem]:
    paths = selection.found.tables
    sizes = [path.stat().st_size for path in paths]
    done, total = 0, Bytes(sum(sizes))
    for path, size in zip(paths, sizes, strict=True):
        rows = read_rows(path, _advance(progress, done, total, path.name))
        yield from _read_rows(rows) if selection.scope is None else _read_among_adapters(path, rows)
        done += size


def _read_rows(rows: Iterable[JsonRow | Problem]) -> Iterator[Card | Problem]:
    for row in rows:
        yield from [row] if isinstance(row, Problem) else _read_row(*row)


def _read_among_adapters(path: Path, rows: Iterable[JsonRow | Problem]) -> Iterator[Card | Problem]:
    """Read a JSON file from a folder of adapters; one from another tool is reported once, and is no error."""
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
    db: Database, selection: Selection, hashed: Mapping[Path, Hashed], progress: Progress
) -> Iterator[Card | Problem]:
    """Read one adapter per hash: copies are one adapter."""
    copies: dict[str, list[Path]] = {}
    for path, found in hashed.items():
        if isinstance(found, Place):
            copies.setdefault(found.sha256, []).append(path)
        else:
            yield Problem(path.relative_to(selection.root).as_posix(), _why(found))
    used = used_paths(db, list(copies))
    for done, (sha256, paths) in enumerate(copies.items()):
        place = hashed[paths[0]]
        assert isinstance(place, Place)
        progress(done, len(copies), paths[0].name)
        yield from read_card(place._replace(path=used.get(sha256, place.path)), paths, selection.root)


def _why(error: AdapterRejected | OSError) -> str:
    return error.message if isinstance(error, AdapterRejected) else f"cannot be read ({error.strerror})"


def _advance(progress: Progress, done: int, total: int, name: str) -> Callable[[int], None]:
    """Report bytes: the number of rows is not known before the end of the file."""
    return lambda position: progress(done + position, total, name)
