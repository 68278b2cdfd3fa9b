"""The header of a safetensors file: what is in it, without its tensors. A gate that only ever refuses.

The format: 8 bytes of header length (little-endian), the header as JSON, then the tensors' bytes end to end. What
passes here is still read through the safetensors library; nothing in a header is ever run, or trusted as an order.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.sniff import sniff_family as sniff_family

MAX_FILE = 4 * 2**30
MAX_HEADER = 4 * 2**20
MAX_METADATA = 2**20
MAX_TENSORS = 20_000
MAX_DIM = 65_536
MAX_RANK = 8  # a tensor's number of dimensions; a 3-d convolution has five

DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4}
"""Bytes an element. Trainers write alphas as integers now and then."""

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,256}")


@dataclass(frozen=True)
class TensorInfo:
    """One tensor's type, as safetensors calls it, and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What a file says of itself (``metadata``, a stranger's words) and what it holds. ``size``: bytes of the file."""

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]
    size: int


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; links are not followed.

    Raises AdapterRejected, one sentence, for anything that is not a sound file of at most 4 GiB.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _reject(path, f"cannot be opened ({error.strerror})", "give a regular file that you may read, not a link")
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        _reject(path, "is not a regular file", "give a .safetensors file")
    with open(fd, "rb") as file:
        if status.st_size > MAX_FILE:
            _reject(path, f"has {status.st_size:,} bytes; an adapter has at most 4 GiB", "is it a whole checkpoint?")
        length = int.from_bytes(file.read(8), "little")
        _check_length(path, length, status.st_size)
        content = _parse(path, file.read(length))
    tensors = _tensors(path, content, status.st_size - 8 - length)
    return Header(metadata=_metadata(path, content), tensors=tensors, size=status.st_size)


def _check_length(path: Path, length: int, size: int) -> None:
    if size < 10:
        _reject(path, f"has {size} bytes: it is empty or cut short", "download it again")
    if length > MAX_HEADER:
        _reject(
            path,
            f"claims a header of {length:,} bytes; at most 4 MiB is read",
            "it is damaged or no safetensors file: download it again",
        )
    if 8 + length > size:
        _reject(path, f"is cut short: its header needs {8 + length:,} bytes, it has {size:,}", "download it again")


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        _reject(path, f"has a header that is not sound JSON ({reason[:120]})", "it is damaged: download it again")
    if not isinstance(content, dict):
        _reject(path, "has a header that is not a JSON object", "it is damaged: download it again")
    return content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _metadata(path: Path, content: dict[str, Any]) -> dict[str, str]:
    metadata: dict[str, str] = content.get("__metadata__", {})
    sound = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not sound or any(len(value) > MAX_METADATA for value in metadata.values()):
        _reject(path, "has metadata that are not short strings", "have its author save it again")
    return metadata


def _tensors(path: Path, content: dict[str, Any], room: int) -> dict[str, TensorInfo]:
    """Check the tensors' entries against each other and the ``room`` bytes behind the header."""
    entries = {name: entry for name, entry in content.items() if name != "__metadata__"}
    if not 0 < len(entries) <= MAX_TENSORS:
        _reject(path, f"lists {len(entries):,} tensors; an adapter has 1 to {MAX_TENSORS:,}", "is it an adapter?")
    tensors = {}
    spans = []
    for name, entry in entries.items():
        tensors[name], span = _tensor(path, name, entry)
        spans.append(span)
    _check_spans(path, sorted(spans), room)
    return tensors


def _tensor(path: Path, name: str, entry: Any) -> tuple[TensorInfo, tuple[int, int]]:
    if not _NAME.fullmatch(name):
        _reject(path, f"has a tensor called {name[:40]!r}; expected letters, digits, '_', '.', '-'", "do not use it")
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = len(entry) == 3 and isinstance(shape, list) and all(type(n) is int for n in [start, end, *shape])
        width = DTYPES.get(dtype)
    except (TypeError, KeyError, ValueError):
        sound, width = False, None
    if not sound:
        _reject(path, f"describes the tensor {name!r} in a way that is not safetensors'", "it is damaged")
    if width is None:
        _reject(path, f"holds {name!r} as {str(dtype)[:20]!r}; expected one of {', '.join(DTYPES)}", "do not use it")
    if len(shape) > MAX_RANK or not all(0 <= n <= MAX_DIM for n in shape):
        _reject(path, f"gives the tensor {name!r} an impossible shape {str(shape)[:60]}", "it is damaged")
    if start < 0 or end - start != math.prod(shape) * width:
        _reject(path, f"gives the tensor {name!r} bytes {start} to {end}, which is not its size", "it is damaged")
    return TensorInfo(dtype, tuple(shape)), (start, end)


def _check_spans(path: Path, spans: list[tuple[int, int]], room: int) -> None:
    """The tensors must follow each other without gap or overlap, and fill the file."""
    at = 0
    for start, end in spans:
        if start != at:
            _reject(path, f"has a gap or an overlap between tensors at byte {at:,}", "it is damaged")
        at = end
    if at > room:
        _reject(path, f"is cut short: its tensors need {at:,} bytes, {room:,} are there", "download it again")
    if at < room:
        _reject(path, f"has {room - at:,} bytes that belong to no tensor", "it is damaged or hides something")


def _reject(path: Path, what: str, remedy: str) -> NoReturn:
    raise AdapterRejected(f"the file {path.name!r} {what}: {remedy}", code="broken_file", path=str(path))
