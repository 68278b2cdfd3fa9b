"""Modes: which way to call each model worked, kept in a small JSON file."""

from __future__ import annotations

import json
import logging
import re
from collections import UserDict
from pathlib import Path
from typing import get_args

from stylus_gen.agent.state import Mode
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.file import make_folder, write_whole

MAX_BYTES = 2**20

_LOGIN = re.compile(r"://[^/\s]*@|[?#]")
"""A user, a password or a query in an address: a key that holds one is deleted."""


class Modes(UserDict[str, Mode]):
    """A mapping from a model's name and address to its mode, written to a file whenever it changes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        known = _read(path)
        self.data = {k: m for k, m in known.items() if m in get_args(Mode) and not _LOGIN.search(k)}
        if any(map(_LOGIN.search, known)):
            self._write()

    def __setitem__(self, key: str, mode: Mode) -> None:
        if self.data.get(key) == mode:
            return
        self.data[key] = mode
        self._write()

    def _write(self) -> None:
        try:
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps(self.data, indent=1))
        except BadRequest as error:  # it costs one call of the next run, and no plan
            logging.getLogger(__name__).warning("the way to call the model is not stored: %s", error.message)


def _read(path: Path) -> dict[str, Mode]:
    """Read the file. If it is absent or damaged, one call finds the mode again."""
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            known = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
