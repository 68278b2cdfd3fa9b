"""Stylus: the right adapters for every prompt.

Names are imported when they are first used (PEP 562), so that importing a lower floor pulls in no upper one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylus_gen.api import Result as Result
    from stylus_gen.api import Stylus as Stylus
    from stylus_gen.settings import Settings as Settings
    from stylus_gen.tools.errors import StylusError as StylusError
    from stylus_gen.tools.plan import Plan as Plan

__version__ = "0.1.0"

_HOMES = {
    "Stylus": "stylus_gen.api",
    "Result": "stylus_gen.api",
    "Settings": "stylus_gen.settings",
    "Plan": "stylus_gen.tools.plan",
    "StylusError": "stylus_gen.tools.errors",
}
__all__ = ["Plan", "Result", "Settings", "Stylus", "StylusError", "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
