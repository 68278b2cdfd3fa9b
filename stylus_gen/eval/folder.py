"""A temporary folder. It is deleted on exit and on a signal; after a kill, the next start deletes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stylus_gen.tools.store.embedded import stop_server

PREFIX = "stylus-eval-"

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_OWNER = "owner"
"""A file that a living process holds a lock on."""


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Make a folder for an embedded server, and end the server and delete the folder afterwards, also on a signal."""
    sweep()
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _owned(folder):
            try:
                yield folder
            finally:
                stop_server(folder / "postgres")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the signals that end a process into SystemExit, so that what is open is closed on the way out."""

    def end(number: int, frame: FrameType | None) -> None:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)  # what is closed is closed once
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sweep() -> None:
    """Stop the servers and delete the folders that killed processes of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process sweeps as well, or it is somebody else's
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid() and _is_left(folder):
                stop_server(folder / "postgres")
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Tell whether no process holds the folder's lock. A folder without a lock is being made, or is not ours."""
    with (folder / _OWNER).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    with (folder / f".{_OWNER}").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (folder / f".{_OWNER}").rename(folder / _OWNER)  # whoever sees it finds it locked
        yield
