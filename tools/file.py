"""Write files whole or not at all, and explain in one sentence why one cannot be written."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from stylus_gen.tools.errors import BadRequest


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under another name and rename it: the old file stays until the new one is complete.

    Text is written in UTF-8. A link stays and its target is written; a device or pipe is written directly. Raises
    BadRequest if the file cannot be written; the old one is then unchanged.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        place = path.resolve()
        if place.exists() and not place.is_file():
            place.write_bytes(data)
        else:
            _replace(place, data)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadRequest(_sentence(path, error)) from None


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises BadRequest if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise BadRequest(_sentence(path, error)) from None


def _replace(place: Path, data: bytes) -> None:
    # A short name: the file's own name with an ending could exceed the 255 bytes that file systems allow.
    part = place.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only now
        if place.exists():
            shutil.copymode(place, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _sentence(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else error
    return f"{str(path)[:200]!r} cannot be written ({reason}): make room there, or choose another place (--out)"
