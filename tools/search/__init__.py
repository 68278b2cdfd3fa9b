"""From concepts to candidates: retrieval, fusion, calibration."""

from stylus_gen.tools.search.search import search_adapters

__all__ = ["search_adapters"]
