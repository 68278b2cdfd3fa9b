"""The cost of a model's tokens. The price list is a file of litellm's package; litellm itself is not imported."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from stylus_gen.tools.plan import Tokens

LIST = "model_prices_and_context_window_backup.json"


def cost(planner: str, tokens: Tokens) -> float | None:
    """Compute US dollars for tokens of a planner, ``provider:model`` or ``offline``; ``None`` if unpriced."""
    if planner == "offline":
        return 0.0
    model = planner.partition(":")[2]
    price = read_prices().get(model) or read_prices().get(model.rpartition("/")[2]) or {}
    try:
        return float(tokens.prompt * price["input_cost_per_token"] + tokens.completion * price["output_cost_per_token"])
    except KeyError:
        return None


@cache
def read_prices() -> dict[str, dict[str, Any]]:
    """Read the price list, by model; empty if litellm is not installed."""
    spec = importlib.util.find_spec("litellm")
    path = Path(spec.origin).with_name(LIST) if spec and spec.origin else None
    if path is None or not path.is_file():
        return {}
    prices: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return prices
