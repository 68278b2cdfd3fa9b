"""Hashes of files on this machine. Each file is read once; its size, time and inode say whether it must be again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stylus_gen.tools.store.database import Database


class Hashes:
    """What is remembered of the files below a folder."""

    def __init__(self, db: Database, root: Path) -> None:
        self.db = db
        with db.pool.connection() as conn:
            rows = conn.execute(
                "SELECT path, size, mtime_ns, inode, sha256, autov3 FROM file_hashes WHERE starts_with(path, %s)",
                (str(root),),
            ).fetchall()
        self.known = {tuple(row[:4]): (row[4], row[5]) for row in rows}

    def of(self, path: Path) -> tuple[str, str]:
        """Hash a file, or remember: its SHA-256, and AutoV3 (12 digits of the SHA-256 of what follows the header)."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
        if key not in self.known:
            self.known[key] = hash_file(path)
            with self.db.pool.connection() as conn:
                conn.execute(
                    "INSERT INTO file_hashes (path, size, mtime_ns, inode, sha256, autov3) "
                    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (path) DO UPDATE SET size = EXCLUDED.size, "
                    "mtime_ns = EXCLUDED.mtime_ns, inode = EXCLUDED.inode, "
                    "sha256 = EXCLUDED.sha256, autov3 = EXCLUDED.autov3",
                    (*key, *self.known[key]),
                )
        return self.known[key]


def hash_file(path: Path) -> tuple[str, str]:
    """Read a safetensors file and hash it: (SHA-256, AutoV3)."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(8)
        head = file.read(int.from_bytes(start, "little"))
        whole.update(start + head)
        while block := file.read(2**20):
            whole.update(block)
            tensors.update(block)
    return whole.hexdigest(), tensors.hexdigest()[:12]
