"""A cache of adapters, so that a process reads each file once.

It keeps the most recently used, up to a limit in bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.adapter import Adapter

LIMIT = 4 * 2**30
"""Bytes of adapter files kept in memory."""


class AdapterCache:
    """Read adapters by path, one at a time. A file that changed on disk is read again."""

    def __init__(self, read: Callable[[Path], Adapter], limit: int = LIMIT) -> None:
        self._read = read
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int], Adapter] = OrderedDict()

    def get(self, path: Path) -> Adapter:
        """Return the adapter in a file. Raises AdapterRejected if the file is missing or cannot be used."""
        try:
            stat = path.stat()
        except OSError as error:
            raise AdapterRejected(f"its file cannot be found ({error.strerror})", code="no_file") from error
        key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._read(path)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(adapter.size for adapter in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)
            return self._kept[key]
