"""Hash files on this machine. A file is read again only if its size, time or inode has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.contents import require_adapter
from stylus_gen.tools.lora.header import read_header
from stylus_gen.tools.progress import Bytes, Progress
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.store.places import Mark, Place, mark_of, read_places, remember

THREADS = 2  # more do not read one disk faster

Hashed = Place | AdapterRejected | OSError
"""The hashes of a file, or why there are none."""


def hash_files(db: Database, paths: Sequence[Path], progress: Progress) -> dict[Path, Hashed]:
    """Hash files, or look their hashes up; progress counts the bytes of files that must be read."""
    places = read_places(db)
    at = {place.path: place for place in places}
    known = {place.mark: place for place in places}
    found: dict[Path, Hashed] = {}
    new: dict[Path, Mark] = {}
    for path in paths:
        try:
            mark = mark_of(path)
        except OSError as error:
            found[path] = error
            continue
        here = at.get(str(path))
        if here and here.mark == mark:
            found[path] = here
        elif moved := known.get(mark):
            found[path] = moved._replace(path=str(path))
        else:
            new[path] = mark
    for hashed in found.values():
        if isinstance(hashed, Place) and at.get(hashed.path) != hashed:
            remember(db, hashed)
    for path, hashed in _hash_new(new, progress):
        found[path] = hashed
        if isinstance(hashed, Place):
            remember(db, hashed)
    return found


def _hash_new(new: dict[Path, Mark], progress: Progress) -> Iterator[tuple[Path, Hashed]]:
    done, total = 0, Bytes(sum(mark.size for mark in new.values()))
    pool = ThreadPoolExecutor(THREADS)
    try:
        jobs: dict[Future[tuple[str, str]], Path] = {pool.submit(_checked, path): path for path in new}
        for job in as_completed(jobs):
            path = jobs[job]
            done += new[path].size
            progress(done, total, path.name)
            try:
                yield path, Place(str(path), new[path], *job.result())
            except (AdapterRejected, OSError) as error:
                yield path, error
    finally:
        pool.shutdown(cancel_futures=True)


def _checked(path: Path) -> tuple[str, str]:
    """Hash a file with a valid adapter header; any other file is not read to its end."""
    require_adapter(read_header(path.resolve()), path)
    return hash_file(path)


def hash_file(path: Path) -> tuple[str, str]:
    """Read a safetensors file and hash it: (SHA-256, AutoV3). AutoV3 is 12 digits of the SHA-256 of the tensors."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(8)
        head = file.read(int.from_bytes(start, "little"))
        whole.update(start + head)
        while block := file.read(2**20):
            whole.update(block)
            tensors.update(block)
    return whole.hexdigest(), tensors.hexdigest()[:12]
