"""Broken files of every kind, read as an import would: no input may cause a traceback, take long or need much memory.

    python benchmarks/fuzz_files.py [headers …] [--seed 0] [--count 100]

Each kind of input is a function in `KINDS`: it draws a broken input, writes it into a folder and returns the call that
reads it. If the call raises a StylusError, the input was refused as it should be.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from stylus_gen.tools.card import Card
from stylus_gen.tools.check import check_recipe
from stylus_gen.tools.diffusion.recipe import read_recipe
from stylus_gen.tools.errors import AdapterRejected, StylusError
from stylus_gen.tools.ingest.civitai import read_object
from stylus_gen.tools.ingest.folder import read_card
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.ingest.sidecar import header_card
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.lora.contents import require_adapter
from stylus_gen.tools.lora.header import read_header
from stylus_gen.tools.picture import read_picture
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.search.document import make_document
from stylus_gen.tools.store.places import Place, mark_of

MAX_SECONDS = 1.0
MAX_BYTES = 200 * 2**20

Read = Callable[[], object]
"""Reads one broken input. Its result is ignored; what it raises counts."""


class Kind(NamedTuple):
    """How to draw an input of one kind, and how many are drawn by default."""

    make: Callable[[random.Random, Path], Read]
    count: int


@dataclass
class Tally:
    """The outcomes of one kind of input. ``grown``: increase of resident memory in bytes."""

    taken: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: int = 0
    grown: int = 0


BYTES = (b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"9", b"e", b"\n", b"\xed\xa0\x80")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**64, 1e308, "", "x", "\ud800", "9" * 5000, [], [[]], {}, {"a": {}}, ["F16"], "F16",
    [0, 8], [8, 0], [2, 2], [0] * 9, [2**33, 2**33], "None", "<![x", '{"a":' * 2000,
)  # fmt: skip


def mutate_bytes(draw: random.Random, raw: bytes) -> bytes:
    """Change some bytes, cut, repeat or move some."""
    for _ in range(draw.randint(1, 4)):
        at, to = sorted(draw.randint(0, len(raw)) for _ in range(2))
        piece = draw.choice((b"", draw.choice(BYTES), draw.choice(BYTES) * draw.randint(1, 300), raw[at:to] * 2))
        raw = raw[:at] + piece + (raw[at + 1 :] if draw.random() < 0.7 else raw[to:])
    return raw


def mutate_value(draw: random.Random, value: Any) -> Any:
    """Change, drop or add something anywhere inside a JSON value."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        changed = dict(value)
        inner = changed.pop(key)
        if draw.random() < 0.8:
            changed[key if draw.random() < 0.9 else draw.choice(("", "x", "\ud800", "a" * 300))] = mutate_value(
                draw, inner
            )
        return changed
    if isinstance(value, list) and value and draw.random() < 0.7:
        at = draw.randrange(len(value))
        return [*value[:at], mutate_value(draw, value[at]), *value[at + draw.randint(0, 1) :]]
    return draw.choice(VALUES)


def mutated_json(draw: random.Random, value: Any) -> bytes:
    """Write a JSON value, changed inside, in its bytes, or both."""
    broken = mutate_value(draw, value) if draw.random() < 0.7 else value
    raw = json.dumps(broken, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return mutate_bytes(draw, raw) if draw.random() < 0.5 or broken is value else raw


def headers(draw: random.Random, folder: Path) -> Read:
    """An adapter file whose header is broken: its header, family and card."""
    modules = draw.choice(MODULES)
    parts = draw.choice((("lora_down.weight", "lora_up.weight", "alpha"), ("lora_A.weight", "lora_B.weight")))
    shapes = {"alpha": []}
    content: dict[str, Any] = {"__metadata__": {key: draw.choice(TEXTS) for key in draw.sample(METADATA, 3)}}
    at = 0
    for name in (f"{module}.{part}" for module in modules for part in parts):
        shape = shapes.get(name.rsplit(".", 1)[1], [4, draw.choice((64, 768, 2048, 3072))])
        size = 2 * (shape[0] * shape[1] if shape else 1)
        content[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if draw.random() < 0.5:  # the tensors stay valid, so that all metadata are read
        words = mutate_value(draw, content["__metadata__"])
        long = {draw.choice(METADATA): draw.choice(FILLERS) * draw.randint(1, 300_000)} if draw.random() < 0.02 else {}
        content["__metadata__"] = {**words, **long} if isinstance(words, dict) else words
        raw = json.dumps(content).encode()
    else:
        raw = mutated_json(draw, content)
    length = draw.choice((len(raw),) * 20 + (0, len(raw) + 1, 2**40))
    path = folder / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + raw + bytes(at))
    return lambda: _read_header(path)


def _read_header(path: Path) -> None:
    header = read_header(path)
    require_adapter(header, path)
    header_card(header, Card(id="f" * 64, model_key="m", name="a"))


MODULES = (
    ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", "lora_te_text_model_encoder_layers_0_fc1"),
    ("transformer.single_transformer_blocks.3.attn.to_q", "transformer.transformer_blocks.0.attn.to_k"),
    ("diffusion_model.blocks.0.cross_attn.k", "diffusion_model.layers.0.attention.to_q"),
)
METADATA = (
    "modelspec.title", "modelspec.architecture", "modelspec.tags", "modelspec.description", "ss_base_model_version",
    "ss_sd_model_name", "ss_tag_frequency", "ss_output_name", "lora_adapter_metadata",
)  # fmt: skip
TEXTS = ("fox", "sdxl_base_v1-0", "use at 0.8", '{"10_fox": {"fox": 12}}', '{"a": "b"', "<b>x</b>" * 50, "9" * 5000)


def pictures(draw: random.Random, folder: Path) -> Read:
    """A picture whose text is broken, or whose chunks are: checked, as `stylus check` does, or its recipe read."""
    keyword, recipe = draw.choice(RECIPES)
    text = mutate_bytes(draw, recipe) if isinstance(recipe, bytes) else mutated_json(draw, recipe)
    packed = zlib.compress(text * draw.choice((1, 1, 1, 1000)))
    kind, content = draw.choice(((b"tEXt%b\0", text), (b"zTXt%b\0\0", packed), (b"iTXt%b\0\1\0\0\0", packed)))
    body = kind % keyword + content
    size = struct.pack(">IIBBBBB", *draw.choice(((8, 8),) * 8 + ((0, 8), (2**31, 1))), 8, 2, 0, 0, 0)
    bodies = [b"IHDR" + size, body, b"IDAT" + zlib.compress(bytes(200)), b"IEND"]
    chunks = [struct.pack(">I", len(b) - 4) + b + struct.pack(">I", zlib.crc32(b)) for b in bodies]
    raw = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    path = folder / "a.png"
    path.write_bytes(mutate_bytes(draw, raw) if draw.random() < 0.5 else raw)
    return draw.choice((lambda: read_recipe(path), lambda: check_picture(path), lambda: check_picture(path)))


def check_picture(path: Path) -> object:
    """Check a picture against a catalogue that knows every adapter."""
    card = Card(id="f" * 64, model_key="m", name="fox", trigger_groups=[["fox"]])
    prompt, uses = read_picture(path)
    return check_recipe(prompt, uses, lambda name: card, family="sd15", policy=Policy())


GRAPH = {
    "1": {"class_type": "LoraLoader", "inputs": {"lora_name": "a/fox.safetensors", "strength_model": 0.7}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox <lora:x:1>", "clip": ["1", 1]}},
    "3": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "negative": ["2", 0], "seed": 1}},
    "4": {"class_type": "Power Lora Loader", "inputs": {"lora_1": {"on": True, "lora": "x", "strength": 1}}},
}
PASTED = (
    b"a fox, (in snow:1.2) <lora:fox:0.8:lbw=MIDD>\nNegative prompt: a dog, blurry\n"
    b'Steps: 20, Sampler: Euler a, Seed: 5, Size: 512x512, Lora hashes: "fox: abc123", Version: 1'
)
RECIPES: tuple[tuple[bytes, Any], ...] = (
    (b"parameters", PASTED),
    (b"prompt", GRAPH),
    (b"invokeai_metadata", {"positive_prompt": "a fox", "loras": [{"model": {"name": "fox"}, "weight": 0.7}]}),
    (b"parameters", {"sui_image_params": {"prompt": "a fox", "loras": ["fox"], "loraweights": ["0.7"]}}),
    (b"parameters", {"prompt": "a fox", "loras": [["fox.safetensors", 0.7, "abc"]]}),
    (b"stylus_recipe", {"schema_version": 1, "plan": {"prompt": "a fox", "masks": [[]]}, "image": 0, "seed": 1}),
)


SHA = "ab" * 32
SITE_VERSION = {
    "id": 10, "modelId": 1, "name": "v1", "baseModel": "SD 1.5", "createdAt": "2024-01-02T00:00:00.000Z",
    "description": "<p>Use at <b>weight 0.7</b></p>", "trainedWords": ["red fox, fur", "(vixen:1.2)"], "nsfwLevel": 1,
    "stats": {"downloadCount": 12, "thumbsUpCount": 3, "rating": 4.5},
    "files": [{"id": 7, "name": "a.safetensors", "type": "Model", "sizeKB": 2048.5, "primary": True,
               "metadata": {"format": "SafeTensor"},
               "hashes": {"SHA256": SHA, "AutoV2": SHA[:10], "AutoV3": "C0" * 6}}],
    "images": [{"nsfwLevel": 1, "meta": {"prompt": "a fox, <lora:a:0.6>", "resources": [{"name": "a", "weight": 1}]}}],
    "model": {"name": "Red Fox", "type": "LORA", "nsfw": False, "poi": False},
}  # fmt: skip
SITE_MODEL = {
    "id": 1, "name": "Red Fox", "type": "LORA", "description": "<p>A fox.</p>", "tags": ["animal", {"name": "fox"}],
    "nsfw": False, "poi": False, "minor": False, "creator": {"username": "ada"}, "stats": {"rating": 5},
    "allowNoCredit": True, "allowCommercialUse": ["Image"], "allowDerivatives": True, "modelVersions": [SITE_VERSION],
}  # fmt: skip
MANAGER = {
    "file_name": "a", "model_name": "Fox", "sha256": SHA, "base_model": "SD 1.5", "preview_nsfw_level": 1,
    "notes": "likes snow", "tags": ["animal"], "modelDescription": "<p>A fox</p>",
    "usage_tips": '{"strength": 0.6, "strength_max": 1.1}', "civitai": SITE_VERSION,
}  # fmt: skip
A1111 = {
    "description": "A fox", "sd version": "SD1", "activation text": "redfox, fur", "preferred weight": 0.45,
    "notes": "likes snow", "negative text": "",
}  # fmt: skip


def beside(suffix: str, note: dict[str, Any]) -> Callable[[random.Random, Path], Read]:
    """Make a kind: a broken sidecar beside a valid adapter file."""

    def make(draw: random.Random, folder: Path) -> Read:
        path = folder / "a.safetensors"
        entry = {"dtype": "F16", "shape": [2, 4], "data_offsets": [0, 16]}
        raw = json.dumps({f"{MODULES[0][0]}.lora_down.weight": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(16))
        raw = mutated_json(draw, note)
        if draw.random() < 0.05:
            raw = raw.decode("utf-8", "replace").encode("utf-16")
        (folder / f"a{suffix}").write_bytes(raw)
        place = Place(str(path), mark_of(path), SHA, "c0" * 6)
        return lambda: _documents(read_card(place, [path], folder))

    return make


def models(draw: random.Random, folder: Path) -> Read:
    """A file of one broken model object of the adapter site."""
    path = folder / "models.json"
    path.write_bytes(mutated_json(draw, SITE_MODEL))
    return lambda: _documents(card for row in read_rows(path, lambda done: None) for card in _row(row))


def _row(row: Any) -> Iterable[Card | Problem]:
    return [row] if isinstance(row, Problem) else read_object(row[1], row[0])


def _documents(read: Iterable[Card | Problem]) -> None:
    """Make a search document from each card."""
    cards = [card for card in read if isinstance(card, Card)]
    for card in cards:
        make_document([card])
    if not cards:
        raise AdapterRejected("no card")


FILLERS = ("a,", "[", '{"a":', "<b>", "<!--", "weight 0.8 ", "0.", "😀", "_", '{"a":{"b":1}},')

KINDS: dict[str, Kind] = {
    "civitai notes": Kind(beside(".civitai.info", SITE_VERSION), 200),
    "lora-manager notes": Kind(beside(".metadata.json", MANAGER), 200),
    "a1111 notes": Kind(beside(".json", A1111), 200),
    "sd.next notes": Kind(beside(".json", SITE_MODEL), 200),
    "site models": Kind(models, 200),
    "headers": Kind(headers, 10_000),
    "pictures": Kind(pictures, 200),
}


def fuzz(kind: Kind, count: int, seed: str, folder: Path, report: Callable[[int], None]) -> Tally:
    """Draw and read ``count`` inputs; ``report`` is called with how many are done."""
    tally = Tally()
    before = _resident()
    for number in range(count):
        read = kind.make(random.Random(f"{seed}/{number}"), folder)
        started = time.perf_counter()
        try:
            read()
            tally.taken += 1
        except StylusError:
            tally.refused += 1
        except Exception as error:  # every other exception is a fault
            where = traceback.extract_tb(error.__traceback__)[-1]
            tally.faults[f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}, input {number}"] += 1
        took = time.perf_counter() - started
        if took > tally.seconds:
            tally.seconds, tally.slowest = took, number
        report(number + 1)
    tally.grown = _resident() - before
    return tally


def _resident() -> int:
    """Return this process's peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(KINDS)}; all unless named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="inputs of each kind; each kind has its own number unless given")
    args = parser.parse_args()
    if unknown := set(args.kinds) - set(KINDS):
        parser.error(f"no kind is called {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    failed = False
    for name in args.kinds or KINDS:
        count = args.count or KINDS[name].count
        with tempfile.TemporaryDirectory() as folder:
            tally = fuzz(KINDS[name], count, f"{args.seed}/{name}", Path(folder), _show(name, count))
        failed |= bool(tally.faults) or tally.seconds > MAX_SECONDS or tally.grown > MAX_BYTES
        print(
            f"{name}: {count:,} read, {tally.taken:,} taken, {tally.refused:,} refused, "
            f"{sum(tally.faults.values()):,} tracebacks; slowest {tally.seconds:.3f} s (input {tally.slowest}), "
            f"{tally.grown / 2**20:.0f} MiB above the start"
        )
        for fault, times in tally.faults.most_common(20):
            print(f"  {times} × {fault}")
    raise SystemExit(failed)


def _show(name: str, count: int) -> Callable[[int], None]:
    """Show progress on a terminal, a hundred times at most."""
    step = max(count // 100, 1)

    def show(done: int) -> None:
        if sys.stderr.isatty() and (done % step == 0 or done == count):
            print(f"\r{name} {done:,}/{count:,}", end="\n" if done == count else "", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    main()
