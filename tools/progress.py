"""Progress of long work: whoever reports it calls ``progress(done, total, message)``."""

from __future__ import annotations


class Bytes(int):
    """A total that counts bytes, so that whoever shows it can say so."""
