"""Read the texts in a PNG, anywhere in the file, within limits and without decoding a pixel."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stylus_gen.tools.diffusion.settings import MAX_SIDE
from stylus_gen.tools.errors import BadRequest

MAX_FILE = 256 * 2**20
MAX_TEXT = 4 * 2**20
MAX_TEXTS = 16 * 2**20
MAX_CHUNKS = 50_000
"""The most that is read: bytes of a picture, of one text, of all texts, then chunks. A chunk of pixels has 8 KiB."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


_MAKERS = {
    "stylus_recipe": "Stylus",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
    "parameters": "A1111 or a program that writes the same format",
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
}
"""Which program writes which keyword. The first keyword that is present decides."""


class Text(NamedTuple):
    """One text of a picture; ``whole`` is false where it is longer than `MAX_TEXT`."""

    text: str
    whole: bool = True


def read_texts(path: Path) -> dict[str, Text]:
    """Read a PNG's texts (tEXt, zTXt and iTXt of the PNG specification) by keyword; the first where two are alike.

    Raises BadRequest where the file is no PNG, is damaged in a part that is read, or exceeds the limits.
    """
    texts: dict[str, Text] = {}
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadRequest(f"{path.name!r} cannot be read as a PNG: it is not a file")
        if status.st_size > MAX_FILE:
            raise BadRequest(f"{path.name!r} is larger than {MAX_FILE} bytes: it is not one of our pictures")
        with path.open("rb") as file:
            for keyword, text in _texts(file, path.name):
                texts.setdefault(keyword, text)
    except FileNotFoundError:
        raise BadRequest(f"there is no picture {str(path)!r}") from None
    except (OSError, ValueError, zlib.error) as error:
        say = getattr(error, "strerror", None) or str(error)
        raise BadRequest(f"{path.name!r} cannot be read as a PNG: {say[:200]}") from None
    return texts


def _texts(file: BinaryIO, name: str) -> Iterator[tuple[str, Text]]:
    """Yield the texts, chunk by chunk. Raises ValueError and `zlib.error` where the file is damaged."""
    if file.read(8) != _SIGNATURE:
        raise ValueError("it does not start like one")
    size, kind, _ = _head(file)
    if kind != b"IHDR" or size != 13:
        raise ValueError("its size is missing")
    width, height = struct.unpack(">II", _body(file, kind, size)[:8])
    if max(width, height) > MAX_SIDE:
        raise BadRequest(f"{name!r} is {width}×{height}: at most {MAX_SIDE} a side")
    held = 0
    for _ in range(MAX_CHUNKS):
        size, kind, at = _head(file)
        if kind in _UNPACK:
            short = size <= MAX_TEXT and held <= MAX_TEXTS
            keyword, text = _UNPACK[kind](_body(file, kind, size)) if short else _too_long(file)
            held += len(text.text)
            yield keyword, text
        if kind in (b"IEND", b""):
            return
        file.seek(at + size + 4)


def _head(file: BinaryIO) -> tuple[int, bytes, int]:
    """Read a chunk's size, kind and body offset. At the end of the file the kind is empty."""
    head = file.read(8)
    return (*struct.unpack(">I4s", head), file.tell()) if len(head) == 8 else (0, b"", 0)


def _body(file: BinaryIO, kind: bytes, size: int) -> bytes:
    body, check = file.read(min(size, MAX_TEXT)), file.read(4)
    if len(body) < size or check != struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))):
        raise ValueError(f"its chunk {kind!r} is damaged")
    return body


def _too_long(file: BinaryIO) -> tuple[str, Text]:
    keyword = file.read(80).partition(b"\0")[0]
    return keyword.decode("latin-1"), Text("", whole=False)


def _plain(body: bytes) -> tuple[str, Text]:
    keyword, _, text = body.partition(b"\0")
    return keyword.decode("latin-1"), Text(text.decode("latin-1"))


def _packed(body: bytes) -> tuple[str, Text]:
    keyword, _, text = body.partition(b"\0")
    unpacked = _inflate(text[1:])  # skips the compression method: PNG has only one
    return keyword.decode("latin-1"), Text(unpacked[:MAX_TEXT].decode("latin-1"), len(unpacked) <= MAX_TEXT)


def _international(body: bytes) -> tuple[str, Text]:
    keyword, _, rest = body.partition(b"\0")
    packed, rest = rest[:1] == b"\1", rest[2:]
    text = b"".join(rest.split(b"\0", 2)[2:])  # skips the language and the translated keyword
    unpacked = _inflate(text) if packed else text
    return keyword.decode("latin-1"), Text(unpacked[:MAX_TEXT].decode("utf-8", "replace"), len(unpacked) <= MAX_TEXT)


def _inflate(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, MAX_TEXT + 1)


_UNPACK = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}


def whose(texts: Mapping[str, Text]) -> str:
    """Name the program that made a picture, as far as its texts show."""
    if not texts:
        return "it has no text: its program wrote none, or somebody removed it"
    if long := [keyword for keyword, text in texts.items() if keyword in _MAKERS and not text.whole]:
        return f"its text {long[0]!r} is longer than {MAX_TEXT} bytes"
    maker = next((maker for keyword, maker in _MAKERS.items() if keyword in texts), None)
    if maker is None and "Software" in texts:
        maker = repr(texts["Software"].text[:60])
    listed = ", ".join(repr(keyword[:40]) for keyword in list(texts)[:8])
    return f"it was made by {maker}" if maker else f"it holds only the texts {listed}"
