"""A time limit for a piece of work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Run a piece of work in its own thread and wait at most ``seconds``. Raises TimeoutError, or what the work raises.

    A network client's own time-out applies to each read: a server that sends a byte a second would never reach it.
    """
    box: queue.SimpleQueue[tuple[Answer, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((work(), None))
        except Exception as error:  # raised again below, in the caller's thread
            box.put((None, error))

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        answer, error = box.get(timeout=max(seconds, 0))
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.1f} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # without an error there is an answer
