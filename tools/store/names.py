"""Find an adapter by id, hash or its first digits, file name with or without folder, or name.

The best match wins: an adapter in use before a retired one, then a whole hash or an exact name before the first digits
of a hash, a file name before a title.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from psycopg.rows import namedtuple_row

from stylus_gen.tools.store.database import Connection, Database

HASH_DIGITS = 6
NOTHING = hashlib.sha256(b"").hexdigest()
"""The hash of nothing. Forge writes its first digits when it has no hash, so it matches no adapter."""

Rows = Sequence[Any]
"""Files with id, model_key, path and retired, the newest of a model first."""

_SELECT = """
    SELECT f.id, v.model_key, f.path, f.retired FROM files f JOIN versions v ON v.key = f.version_key
    JOIN models m ON m.key = v.model_key WHERE {} ORDER BY v.created_at DESC NULLS LAST, f.id
"""
_STEM = """
    lower(regexp_replace(f.file_name, '\\.safetensors$', '', 'i')) = lower(%(key)s)
    OR lower(regexp_replace(f.path, '^.*/|\\.safetensors$', '', 'gi')) = lower(%(key)s)
"""


def find_ids(db: Database, key: str) -> list[str]:
    """List the ids of the adapters that match: none, one, or several if the key is ambiguous."""
    key = key.strip().encode("utf-8", "replace").decode()
    if not key or "\0" in key:
        return []
    retired: list[str] = []
    with db.pool.connection() as conn:
        for find, one in FINDERS:
            rows = find(conn, key)
            if in_use := [row for row in rows if not row.retired]:
                return _distinct(in_use, one)
            retired = retired or _distinct(rows, one)
    return retired


def _distinct(rows: Rows, one: str) -> list[str]:
    """List the ids of the first row for each value of the column ``one``."""
    return [row.id for row in list({getattr(row, one): row for row in reversed(rows)}.values())[::-1]]


def _by_id(conn: Connection, key: str) -> Rows:
    return _find(conn, "f.id = %(key)s", key)


def _by_hash(conn: Connection, key: str) -> Rows:
    if NOTHING.startswith(key.lower()):
        return []
    return _installed(_find(conn, "f.id IN (SELECT file_id FROM hashes WHERE value = %(key)s)", key.lower()))


def _by_file(conn: Connection, key: str) -> Rows:
    """Find by file name. A folder before it chooses among the files, if one of them is in such a folder."""
    path, folder, stem = _parts(key)
    rows = _find(conn, _STEM, stem)
    if not folder:
        return _installed(rows)
    end = f"/{path.lstrip('/')}.safetensors".casefold()
    return [row for row in rows if (row.path or "").casefold().endswith(end)] or _by_name(conn, key) or _installed(rows)


def _by_name(conn: Connection, key: str) -> Rows:
    return _find(conn, "v.model_key = %(key)s", key) or _find(conn, "lower(m.name) = lower(%(key)s)", key)


def _by_title(conn: Connection, key: str) -> Rows:
    """Find the name of a card by a file name: files are renamed, and the header keeps the name."""
    return _find(conn, "lower(m.name) = lower(%(key)s)", _parts(key)[2])


def _parts(key: str) -> tuple[str, str, str]:
    """Split a file name: the path without its ending, the folder and the stem."""
    path = re.sub(r"\.safetensors$", "", key.replace("\\", "/"), flags=re.IGNORECASE)
    folder, _, stem = path.rpartition("/")
    return path, folder, stem


def _by_digits(conn: Connection, key: str) -> Rows:
    digits = key.lower()
    if len(digits) < HASH_DIGITS or not set(digits) <= set("0123456789abcdef") or NOTHING.startswith(digits):
        return []
    return _find(conn, "f.id IN (SELECT file_id FROM hashes WHERE value >= %(key)s AND value < %(key)s || 'g')", digits)


def _installed(rows: Rows) -> Rows:
    """Prefer files on this machine: a recipe that was made here means those."""
    return [row for row in rows if row.path] or rows


def _find(conn: Connection, where: str, key: str) -> Rows:
    with conn.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(_SELECT.format(where), {"key": key}).fetchall()


FINDERS = (
    (_by_id, "id"),
    (_by_hash, "id"),
    (_by_file, "model_key"),
    (_by_name, "model_key"),
    (_by_title, "model_key"),
    (_by_digits, "id"),
)
"""Tried in this order. The column: rows with different values in it are different adapters."""
