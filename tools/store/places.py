"""Where adapter files are on this machine: every imported path, with the hash of the file that was there.

An adapter is installed if a file with its hash exists. A file with the same size, time and inode counts as unchanged;
otherwise it is read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stylus_gen.tools.store.database import Connection, Database

# All writers of the catalogue and its index take this advisory lock: two imports must not both add the same file, and a
# document is written only while its cards are unchanged.
WRITERS = 0x57592


class Mark(NamedTuple):
    """What identifies an unchanged file without reading it; size in bytes."""

    size: int
    mtime_ns: int
    inode: int


class Place(NamedTuple):
    """A path, and the hashes of its file when it was last read."""

    path: str
    mark: Mark
    sha256: str
    autov3: str


def mark_of(path: Path | str) -> Mark:
    """Read a file's mark, through links. Raises OSError."""
    status = os.stat(path)
    return Mark(status.st_size, status.st_mtime_ns, status.st_ino)


def read_places(db: Database, sha256s: Sequence[str] | None = None) -> list[Place]:
    """Read all places, or those of some hashes, in the order of their paths."""
    with db.pool.connection() as conn:
        return _read(conn, sha256s)


def remember(db: Database, place: Place) -> None:
    """Record the file at a path."""
    with db.pool.connection() as conn:
        conn.execute(
            "INSERT INTO file_hashes (path, size, mtime_ns, inode, sha256, autov3) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (path) DO UPDATE SET size = EXCLUDED.size, "
            "mtime_ns = EXCLUDED.mtime_ns, inode = EXCLUDED.inode, "
            "sha256 = EXCLUDED.sha256, autov3 = EXCLUDED.autov3",
            (place.path, *place.mark, place.sha256, place.autov3),
        )


def is_unchanged(place: Place) -> bool:
    """Say whether a path still holds the same file."""
    try:
        return mark_of(place.path) == place.mark or _sha256(place.path) == place.sha256
    except OSError:
        return False


def paths_of(db: Database, sha256s: Sequence[str]) -> dict[str, Path]:
    """Find an existing file for each of these hashes, the path in use first.

    A path that was never hashed here is trusted: drawing checks the hash.
    """
    used = _used(db, sha256s)
    places = read_places(db, sha256s)
    found: dict[str, Path] = {}
    for place in sorted(places, key=lambda place: place.path != used.get(place.sha256)):
        if place.sha256 not in found and is_unchanged(place):
            found[place.sha256] = Path(place.path)
    hashed = {place.sha256 for place in places}
    return found | {i: Path(path) for i, path in used.items() if i not in hashed and Path(path).is_file()}


def used_paths(db: Database, sha256s: Sequence[str]) -> dict[str, str]:
    """Return the paths in use for these hashes whose files are unchanged."""
    used = _used(db, sha256s)
    at = {(place.sha256, place.path): place for place in read_places(db, sha256s)}
    return {i: path for i, path in used.items() if (i, path) in at and is_unchanged(at[i, path])}


class Retired(NamedTuple):
    """How many adapters have lost their file, and how many have it at another path."""

    lost: int = 0
    moved: int = 0


def retire(db: Database, scope: Path, held: Mapping[str, str]) -> Retired:
    """Remove the paths of files that ``scope``, a file or a folder, no longer holds.

    ``held`` maps the paths found there to their SHA-256. A card whose file also exists at another path gets that path.
    A card that only the folder stated is kept but left out of search.
    """
    with db.pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
        rows = conn.execute(
            "SELECT id, path FROM files WHERE path = %s OR starts_with(path, %s)",
            (str(scope), os.path.join(scope, "")),
        ).fetchall()
        gone = [i for i, path in rows if held.get(path) != i]
        moved = {place.sha256: place.path for place in reversed(_read(conn, gone)) if _is_there(place, held)}
        for i, path in moved.items():
            conn.execute("UPDATE files SET path = %s WHERE id = %s", (path, i))
        lost = [i for i in gone if i not in moved]
        _retire(conn, lost)
    return Retired(len(lost), len(moved))


def _used(db: Database, sha256s: Sequence[str]) -> dict[str, str]:
    with db.pool.connection() as conn:
        rows = conn.execute("SELECT id, path FROM files WHERE id = ANY(%s) AND path IS NOT NULL", (list(sha256s),))
        return dict(rows.fetchall())


def _is_there(place: Place, held: Mapping[str, str]) -> bool:
    return held.get(place.path) == place.sha256 or is_unchanged(place)


def _retire(conn: Connection, ids: list[str]) -> None:
    if not ids:
        return
    conn.execute("DELETE FROM source_digests WHERE source = 'folder' AND file_id = ANY(%s)", (ids,))
    conn.execute(
        "UPDATE files SET path = NULL, provenance = provenance - 'path', "
        "retired = NOT EXISTS (SELECT FROM source_digests WHERE file_id = files.id) WHERE id = ANY(%s)",
        (ids,),
    )
    conn.execute(
        "UPDATE files SET stale = true FROM versions WHERE versions.key = version_key AND model_key IN "
        "(SELECT model_key FROM files JOIN versions ON key = version_key WHERE id = ANY(%s))",
        (ids,),
    )


def _read(conn: Connection, sha256s: Sequence[str] | None) -> list[Place]:
    rows = conn.execute(
        "SELECT path, size, mtime_ns, inode, sha256, autov3 FROM file_hashes "
        "WHERE %(all)s OR sha256 = ANY(%(some)s) ORDER BY path",
        {"all": sha256s is None, "some": list(sha256s or ())},
    )
    return [Place(row[0], Mark(row[1], row[2], int(row[3])), row[4], row[5]) for row in rows]


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
