"""The header of a safetensors file, read and checked without its tensors.

The format: 8 bytes of header length (little-endian), the header as JSON, then the tensors' bytes end to end. The
safetensors library still reads what passes here. Nothing in a header is run or taken as an instruction.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's reader of one string
from pathlib import Path
from typing import Any, NoReturn

from stylus_gen.tools.errors import AdapterRejected

MAX_FILE = 4 * 2**30
MAX_HEADER = 24 * 2**20
"""Bytes. The library allows 100 MB, but one emoji makes every character of a Python string take four bytes: with it,
reading a header of this size takes 190 MB."""

MAX_METADATA = 2 * 2**20
"""Characters of one value. A longer one, usually a thumbnail, is read as "": parsing it would take far more memory."""

MAX_KEYS = 10_000  # of metadata; trainers write a few hundred
MAX_TENSORS = 50_000
MAX_NAME = 256  # characters of a tensor's name
MAX_ENTRY = 1_000  # characters that describe one tensor
MAX_DIM = 2**24  # text encoders have up to about 250,000 tokens
MAX_RANK = 8  # a tensor's number of dimensions; a 3-d convolution has five

DTYPES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes per element of the types that safetensors passes to torch. Trainers sometimes write alphas as integers."""

_SPACE = re.compile(r"[ \t\n\r]*")
_HALF_PAIR = re.compile("[\ud800-\udfff]")

Span = tuple[int, int]
"""The first and last byte of a tensor, counted from the end of the header."""

_Value = Callable[[str, str, int], tuple[Any, int]]
"""Reads the value of a key, given the key, the text and where the value starts; returns the value and its end."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor's type, as safetensors calls it, and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """A file's ``metadata`` (untrusted) and its tensors. ``size`` is the file's, in bytes."""

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]
    size: int


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file. Links are not followed.

    Raises AdapterRejected for anything but a valid file of at most 4 GiB.
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
        metadata, entries = _parse(path, file.read(length))
    _check_spans(path, sorted(span for _, span in entries.values()), status.st_size - 8 - length)
    return Header(metadata, {name: tensor for name, (tensor, _) in entries.items()}, status.st_size)


def _check_length(path: Path, length: int, size: int) -> None:
    if size < 10:
        _reject(path, f"has {size} bytes: it is empty or cut short", "download it again")
    if length > MAX_HEADER:
        _reject(
            path,
            f"claims a header of {length:,} bytes; at most 24 MiB is read",
            "it is damaged or no safetensors file: download it again",
        )
    if 8 + length > size:
        _reject(path, f"is cut short: its header needs {8 + length:,} bytes, it has {size:,}", "download it again")


def _parse(path: Path, raw: bytes) -> tuple[dict[str, str], dict[str, tuple[TensorInfo, Span]]]:
    """Read the header entry by entry, so that memory use depends only on what is kept."""
    try:
        text = raw.decode()
        del raw
        content, end = _object(text, _SPACE.match(text).end(), _entry_reader(path))  # type: ignore[union-attr]
        if _SPACE.match(text, end).end() != len(text):  # type: ignore[union-attr]
            raise ValueError(f"something follows its end at letter {end:,}")
    except (ValueError, IndexError, RecursionError) as error:
        reason = "it ends too early" if isinstance(error, IndexError) else str(error) or "nested too deeply"
        _reject(path, f"has a header that is not sound JSON ({reason[:120]})", "it is damaged: download it again")
    metadata = content.pop("__metadata__", None) or {}
    if not content:
        _reject(path, f"lists 0 tensors; an adapter has 1 to {MAX_TENSORS:,}", "is it one?")
    return metadata, content


def _object(text: str, at: int, read: _Value) -> tuple[dict[str, Any], int]:
    """Read a JSON object that starts at ``at``, each value with ``read``; ValueError or IndexError if invalid."""
    pairs: dict[str, Any] = {}
    at = _after(text, at, "{")
    while text[at] != "}" or pairs:
        key, at = _string(text, at)
        if key in pairs:
            raise ValueError(f"the key {key[:40]!r} is there twice")
        pairs[key], at = read(key, text, _after(text, at, ":"))
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text[at] == "}":
            break
        at = _after(text, at, ",")
    return pairs, at + 1


def _after(text: str, at: int, mark: str) -> int:
    """Skip white space, ``mark`` and white space."""
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    if text[at] != mark:
        raise ValueError(f"expected {mark!r} at letter {at:,}, found {text[at]!r}")
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _string(text: str, at: int) -> tuple[str, int]:
    if text[at] != '"':
        raise ValueError(f"expected a string at letter {at:,}, found {text[at]!r}")
    value, end = scanstring(text, at + 1, True)
    if _HALF_PAIR.search(value):
        raise ValueError(f"the string at letter {at:,} holds half of a surrogate pair")
    return value, end


def _entry_reader(path: Path) -> _Value:
    """Make the function that reads one entry of the header: the metadata, or a tensor and its span."""
    count = 0

    def read(key: str, text: str, at: int) -> tuple[Any, int]:
        nonlocal count
        if key == "__metadata__":
            return _metadata(path, text, at)
        count += 1
        if count > MAX_TENSORS:
            _reject(path, f"lists {count:,} tensors or more; an adapter has 1 to {MAX_TENSORS:,}", "is it one?")
        end = text.find("}", at, at + MAX_ENTRY) + 1
        if text[at] != "{" or not end:
            _reject(path, f"describes the tensor {key[:80]!r} in a way that is not safetensors'", "it is damaged")
        entry = json.loads(text[at:end], object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        return _tensor(path, key, entry, signed_zero="-0" in text[at:end]), end

    return read


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _metadata(path: Path, text: str, at: int) -> tuple[dict[str, str] | None, int]:
    if text.startswith("null", at):
        return None, at + 4
    if text[at] != "{":
        _reject(path, "has metadata that are no JSON object", "have its author save it again")
    room = MAX_KEYS

    def read(key: str, text: str, at: int) -> tuple[str, int]:
        nonlocal room
        room -= 1
        if text[at] != '"' or room < 0:
            what = f"are more than {MAX_KEYS:,}" if room < 0 else f"are not strings ({key[:40]!r})"
            _reject(path, f"has metadata that {what}", "have its author save it again")
        value, end = _string(text, at)
        return value if len(value) <= MAX_METADATA else "", end

    return _object(text, at, read)


def _tensor(path: Path, name: str, entry: dict[str, Any], *, signed_zero: bool) -> tuple[TensorInfo, Span]:
    """Check one tensor's entry. ``signed_zero``: it holds "-0", which Python reads as 0 and the library refuses."""
    if not 0 < len(name) <= MAX_NAME or "/" in name or not name.isprintable():
        _reject(path, f"has a tensor called {name[:40]!r}; expected letters, digits and signs but '/'", "do not use it")
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = len(entry) == 3 and isinstance(shape, list) and all(type(n) is int for n in [start, end, *shape])
        width = DTYPES.get(dtype)
    except (TypeError, KeyError, ValueError):
        sound, width = False, None
    if not sound or signed_zero:
        _reject(path, f"describes the tensor {name!r} in a way that is not safetensors'", "it is damaged")
    if width is None:
        _reject(path, f"holds {name!r} as {str(dtype)[:20]!r}; expected one of {', '.join(DTYPES)}", "do not use it")
    if len(shape) > MAX_RANK or not all(0 <= n <= MAX_DIM for n in shape):
        _reject(path, f"gives the tensor {name!r} an impossible shape {str(shape)[:60]}", "it is damaged")
    if start < 0 or end - start != math.prod(shape) * width:
        _reject(path, f"gives the tensor {name!r} bytes {start} to {end}, which is not its size", "it is damaged")
    return TensorInfo(dtype, tuple(shape)), (start, end)


def _check_spans(path: Path, spans: list[Span], room: int) -> None:
    """Check that the tensors follow each other without gap or overlap and fill the file."""
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
