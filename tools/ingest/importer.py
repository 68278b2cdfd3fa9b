"""One way in: a file of Civitai objects, one adapter file, or a folder with any of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from stylus_gen.tools.card import Card
from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.errors import AdapterRejected, BadRequest
from stylus_gen.tools.ingest.civitai import read_object
from stylus_gen.tools.ingest.community import community_card, is_community
from stylus_gen.tools.ingest.folder import PICKLE, PICKLES, Inventory, read_adapter, take_stock
from stylus_gen.tools.ingest.hashes import Hashes
from stylus_gen.tools.ingest.rows import SUFFIXES, read_rows
from stylus_gen.tools.ingest.summary import ImportSummary, Problem, Progress, Report
from stylus_gen.tools.search.index import update_index
from stylus_gen.tools.store.adapters import upsert_cards
from stylus_gen.tools.store.database import Database


def import_adapters(db: Database, path: Path, *, embedder: Embedder, progress: Progress) -> ImportSummary:
    """Import what ``path`` holds and bring the search index up to date; run it again whenever it changes.

    Bad rows and files are reported in the summary and never stop it. An import that is killed has kept what it wrote;
    the next one goes on, with the index too. Raises BadRequest if ``path`` is nothing that can be imported,
    AdapterRejected if it is a pickle.
    """
    start = time.monotonic()
    root, stock = _open(path.expanduser())
    report = Report()
    for problem in stock.problems:
        report.add(problem)
    counts = upsert_cards(db, report.filter(_read_tables(stock.tables, progress)), source="civitai")
    counts += upsert_cards(db, report.filter(_read_folder(db, root, stock.adapters, progress)), source="folder")
    for told, kept in counts.reuploads:
        report.add(Problem(told, f"the same file was uploaded as {kept}: one card", skipped=False))
    update_index(db, embedder, progress)
    return ImportSummary(
        taken=counts.taken,
        updated=counts.updated,
        merged=counts.merged,
        unchanged=counts.unchanged,
        skipped=report.skipped,
        problems=tuple(report.problems),
        problem_count=report.count,
        seconds=round(time.monotonic() - start, 2),
    )


def _open(path: Path) -> tuple[Path, Inventory]:
    if not path.exists():
        raise BadRequest(f"nothing is at {str(path)!r}: expected a folder of LoRAs, or .json, .jsonl or .jsonl.gz")
    path = path.resolve()
    if path.is_dir():
        stock = take_stock(path)
        if not any(stock):
            raise BadRequest(f"the folder {str(path)!r} holds no .safetensors and no .json, .jsonl or .jsonl.gz")
        return path, stock
    if path.name.endswith(".safetensors"):
        return path.parent, Inventory([path], [], [])
    if path.name.endswith(SUFFIXES):
        return path.parent, Inventory([], [path], [])
    if path.name.lower().endswith(PICKLES):
        raise AdapterRejected(f"{path.name!r} {PICKLE}")
    raise BadRequest(
        f"{path.name!r} cannot be imported: expected a folder, .safetensors, .json, .jsonl, .jsonl.gz or .civitai.info"
    )


def _read_tables(paths: list[Path], progress: Progress) -> Iterator[Card | Problem]:
    sizes = [path.stat().st_size for path in paths]
    done, total = 0, sum(sizes)
    for path, size in zip(paths, sizes, strict=True):
        for row in read_rows(path, _advance(progress, done, total, path.name)):
            yield from [row] if isinstance(row, Problem) else _read_row(*row)
        done += size


def _read_row(where: str, value: Any) -> Iterable[Card | Problem]:
    if isinstance(value, dict) and is_community(value):
        return [community_card(value, where)]
    return read_object(value, where)


def _read_folder(db: Database, root: Path, paths: list[Path], progress: Progress) -> Iterator[Card | Problem]:
    hashes = Hashes(db, root)
    sizes = [path.stat().st_size for path in paths]
    done, total = 0, sum(sizes)
    for path, size in zip(paths, sizes, strict=True):
        progress(done, total, path.name)
        yield from read_adapter(hashes, path, root)
        done += size


def _advance(progress: Progress, done: int, total: int, name: str) -> Callable[[int], None]:
    """Report bytes: how many rows a file holds is not known before its end."""
    return lambda position: progress(done + position, total, name)
