"""The doors: each a thin adapter over the Python API."""
