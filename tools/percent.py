"""Percentages in sentences."""

from __future__ import annotations

import math


def percent(share: float, decimals: int = 0) -> str:
    """Write a share in percent, rounded down, so that a share below a limit never reads as the limit."""
    scale = 10**decimals
    shown = math.floor(share * 100 * scale + 1e-9) / scale
    return f"under {1 / scale:g} %" if share > 0 and shown == 0 else f"{shown:.{decimals}f} %"
