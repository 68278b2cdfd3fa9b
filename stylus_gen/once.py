"""Opening something once, also when several threads ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

Self = TypeVar("Self")
Given = ParamSpec("Given")
Made = TypeVar("Made")


class _Slot(Generic[Made]):
    def __init__(self) -> None:
        self.lock = RLock()
        self.made: list[Made] = []


def once(make: Callable[Concatenate[Self, Given], Made]) -> Callable[Concatenate[Self, Given], Made]:
    """Run a method once for each instance. Every later call returns the first result, whatever its arguments.

    Threads that call it meanwhile wait for the result. A call that raises is not remembered: the next one tries again.
    (`functools.cached_property` has had no lock since Python 3.12.)
    """
    name = f"_once_{make.__name__}"

    @wraps(make)
    def call(self: Self, /, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        slot: _Slot[Any] = vars(self).setdefault(name, _Slot())
        with slot.lock:
            if not slot.made:
                slot.made.append(make(self, *args, **kwargs))
        made: Made = slot.made[0]
        return made

    return call
