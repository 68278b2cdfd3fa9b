"""What was found out about models, kept in a small JSON file: how each one is best spoken to."""

from __future__ import annotations

import json
import os
from collections import UserDict
from pathlib import Path
from typing import get_args

from stylus_gen.agent.state import Mode


class Modes(UserDict[str, Mode]):
    """A mapping from a model's name and address to its mode, written to a file whenever it changes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # absent or cut short: found out again at the cost of one call
            known = {}
        self.data = {k: m for k, m in known.items() if m in get_args(Mode)} if isinstance(known, dict) else {}

    def __setitem__(self, key: str, mode: Mode) -> None:
        if self.data.get(key) == mode:
            return
        self.data[key] = mode
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(f".{os.getpid()}.part")
        beside.write_text(json.dumps(self.data, indent=1), encoding="utf-8")
        beside.replace(self._path)
