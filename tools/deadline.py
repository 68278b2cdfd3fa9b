"""Work that is left when its time is over."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Do a piece of work in a thread of its own and wait at most ``seconds``; raises TimeoutError, or what it raises.

    A network client's own time-out is per read: a server that sends a byte a second would hold us for ever.
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
    return answer  # type: ignore[return-value]  # there is an answer where there is no error
