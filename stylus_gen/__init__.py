"""Stylus: the right adapters for every prompt.

Each name is imported at its first use (PEP 562), so that importing a lower floor does not import an upper one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylus_gen.api import Result as Result
    from stylus_gen.api import Stylus as Stylus
    from stylus_gen.settings import Settings as Settings
    from stylus_gen.tools.diffusion.settings import RenderSettings as RenderSettings
    from stylus_gen.tools.errors import StylusError as StylusError
    from stylus_gen.tools.plan import Budget as Budget
    from stylus_gen.tools.plan import Plan as Plan
    from stylus_gen.tools.plan import Policy as Policy

__version__ = "0.1.0"

_HOMES = {
    "Stylus": "stylus_gen.api",
    "Result": "stylus_gen.api",
    "Settings": "stylus_gen.settings",
    "Plan": "stylus_gen.tools.plan",
    "Policy": "stylus_gen.tools.plan",
    "Budget": "stylus_gen.tools.plan",
    "RenderSettings": "stylus_gen.tools.diffusion.settings",
    "StylusError": "stylus_gen.tools.errors",
}
__all__ = [
    "Budget",
    "Plan",
    "Policy",
    "RenderSettings",
    "Result",
    "Settings",
    "Stylus",
    "StylusError",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
