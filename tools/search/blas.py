"""One BLAS thread at a time: the last bits of a matrix product depend on how many threads share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_LOCK = Lock()
_LIMITS: list[Any] = []
"""What each caller inside `one_blas_thread` must end; only the first changes the process's setting."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread. The setting is the process's: it comes back when the last of several callers leaves."""
    with _LOCK:
        _LIMITS.append(None if _LIMITS else _blas().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _LOCK:
            if len(_LIMITS) == 1:
                _LIMITS[0].restore_original_limits()
                _LIMITS.clear()
            else:
                _LIMITS.pop()


@cache
def _blas() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
