"""Progress of long work: whoever reports it calls ``progress(done, total, message)``."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (done, total, message)."""


class Bytes(int):
    """A total that counts bytes, so that whoever shows it can say so."""


def silent(done: int, total: int, message: str) -> None:
    """Show no progress."""
