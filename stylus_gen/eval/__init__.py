"""Measurements: what `stylus eval` runs."""
