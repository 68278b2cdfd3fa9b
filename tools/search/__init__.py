"""From concepts to candidates: retrieval, fusion, calibration."""

from stylus_gen.tools.search.gather import PROMPT
from stylus_gen.tools.search.search import search_adapters

__all__ = ["PROMPT", "search_adapters"]
