"""Threads: a conversation and its plan, the edits, and the two readers of a follow-up line.

A checkpoint names the module of each class in it. A class that moved stays importable from where checkpoints look.
"""

from __future__ import annotations

from importlib import import_module

MOVED = {"Thread": "stylus_gen.agent.threads.thread"}
"""Classes that checkpoints of version 0.1.0 look for in this module, and where they are now."""


def __getattr__(name: str) -> object:
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MOVED[name]), name)
