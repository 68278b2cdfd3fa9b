"""Read JSON files as a stream of rows: one object, a list, ``{"items": […]}``, or one per line; also gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

from stylus_gen.tools.ingest.summary import Problem

MAX_JSON = 512 * 2**20
"""Bytes of a file with one JSON value, which is read whole; ``.jsonl`` is read line by line."""

MAX_LINE = 32 * 2**20

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".civitai.info")

JsonRow = tuple[str, Any]
"""The position in the file, and the value."""


def read_rows(path: Path, advance: Callable[[int], None]) -> Iterator[JsonRow | Problem]:
    """Read a file's rows; an unreadable row is a problem. ``advance`` gets the number of bytes read so far."""
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as file:
            lines = path.name.lower().removesuffix(".gz").endswith(".jsonl")
            for item in _lines(path, file) if lines else _values(path, file):
                advance(raw.tell())
                yield item
    except (OSError, EOFError, zlib.error) as error:
        yield Problem(path.name, f"cannot be read to its end ({error}): copy it again")


def read_value(path: Path) -> Any:
    """Read one JSON value; bytes that are not Unicode are read as Windows-1252. Raises ValueError or OSError."""
    with path.open("rb") as file:
        raw = file.read(MAX_LINE + 1)
    if len(raw) > MAX_LINE:
        raise ValueError(f"it has more than {MAX_LINE:,} bytes")
    try:
        return _loads(raw)
    except UnicodeDecodeError:  # A1111 writes notes in the encoding of the system
        return json.loads(raw.decode("cp1252"))


def _unpacked(path: Path, raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return cast("IO[bytes]", gzip.open(raw)) if path.name.lower().endswith(".gz") else nullcontext(raw)


def _lines(path: Path, file: IO[bytes]) -> Iterator[JsonRow | Problem]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        where = f"{path.name}, line {number}"
        if len(line) > MAX_LINE:
            yield Problem(where, f"a line of more than {MAX_LINE:,} bytes; the rest of the file is skipped")
            return
        if line.strip():
            yield _row(where, line)


def _values(path: Path, file: IO[bytes]) -> Iterator[JsonRow | Problem]:
    raw = file.read(MAX_JSON + 1)
    if len(raw) > MAX_JSON:
        yield Problem(
            path.name, f"more than {MAX_JSON:,} bytes in one JSON value: convert it to .jsonl, a model per line"
        )
        return
    row = _row(path.name, raw)
    value = None if isinstance(row, Problem) else row[1]
    if isinstance(value, dict) and isinstance(value.get("items"), list):
        value = value["items"]
    if isinstance(value, list):
        yield from ((f"{path.name}, item {n}", item) for n, item in enumerate(value, 1))
    else:
        yield row


def _row(where: str, raw: bytes) -> JsonRow | Problem:
    try:
        return where, _loads(raw)
    except ValueError as error:
        return Problem(where, f"not JSON ({str(error)[:120]})")


def _loads(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(json.detect_encoding(raw)))  # UTF-8, -16 or -32, detected as RFC 4627 does
    except RecursionError:
        raise ValueError("nested too deeply") from None
