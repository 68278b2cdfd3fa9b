"""Make cards from Civitai's model and version objects, one per safetensors file. Pure: it reads no files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from stylus_gen.tools.card import Card, Stats
from stylus_gen.tools.errors import faults
from stylus_gen.tools.families import Family, family_of
from stylus_gen.tools.ingest.examples import read_examples
from stylus_gen.tools.ingest.kind import kind_of
from stylus_gen.tools.ingest.site import SiteFile, SiteModel, SiteModelWithVersions, SiteVersion, read_record
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.ingest.terms import nsfw_level, read_licence
from stylus_gen.tools.ingest.text import clean_line, plain_text, says_nothing
from stylus_gen.tools.ingest.weight import author_weight, example_weight
from stylus_gen.tools.stem import stem_of
from stylus_gen.tools.triggers import split_words

ADAPTER_TYPES = frozenset({"lora", "locon", "dora", "lycoris"})
MAX_NAME = 200
MAX_DESCRIPTION = 12_000
MAX_TAGS = 64
MAX_GROUPS = 64
MAX_WORDS = 256  # trigger words of all groups

SDXL = "2023-07"
"""When the site began to host adapters for SDXL. Before that, its base model "Other" meant a fine-tuned SD 1: of the
4,460 adapters from those months that name a base, 99 % are for SD 1. For a file on this machine the tensors decide."""

_HASHES = {"AutoV1": "autov1", "AutoV2": "autov2", "AutoV3": "autov3", "CRC32": "crc32", "BLAKE3": "blake3"}
_HEX = re.compile(r"[0-9a-f]{8,64}")


def is_site_object(row: Any) -> bool:
    """Say whether a JSON value is a Civitai model, or a version on its own. Other tools write trained words too."""
    known = row.keys() if isinstance(row, dict) else set()
    return not known.isdisjoint(("modelVersions", "modelId")) or {"id", "trainedWords"} <= known


def read_object(row: Any, where: str) -> Iterator[Card | Problem]:
    """Make cards from one JSON value: a model, or a version on its own."""
    if not isinstance(row, dict):
        yield Problem(where, f"expected a JSON object, found {type(row).__name__}")
        return
    try:
        if "modelVersions" in row:
            model, invalid = read_record(SiteModelWithVersions, row)
            yield from skipped_fields(invalid, where)
            for n, version in enumerate(model.modelVersions):
                yield from _read_version(version, model, f"{where}, version {n + 1}")
            if not model.modelVersions:
                yield Problem(where, f"the model {clean_line(model.name, 60)!r} has no versions")
        elif "modelId" in row or "trainedWords" in row:
            yield from _read_version(row, None, where)
        else:
            yield Problem(where, "it is neither a model (no modelVersions) nor a version (no modelId)")
    except ValidationError as error:
        yield Problem(where, first_error(error))


def version_cards(version: SiteVersion, model: SiteModel, where: str) -> Iterator[Card | Problem]:
    """Make one card for each safetensors file of a version."""
    if model.type.lower() not in ADAPTER_TYPES:
        yield Problem(where, f"it is a {clean_line(model.type, 40)}, not a LoRA")
        return
    files = _adapter_files(version)
    if not files:
        kinds = ", ".join(sorted({PurePosixPath(clean_line(f.name, 300)).suffix or "?" for f in version.files}))
        yield Problem(where, f"its files are {kinds}; only .safetensors is read" if kinds else "it lists no file")
    for n, file in enumerate(files):
        card = version_card(version, model, file, main=n == 0)
        if not card.name:
            yield Problem(where, "neither the model nor its file has a name")
            continue
        if cut := _what_was_cut(version, model, card):
            yield Problem(where, f"too long, cut to the limit: {cut}", skipped=False)
        yield card


def trigger_groups(entries: list[str]) -> list[list[str]]:
    """Split each entry at its commas into a group; syntax and repetitions are dropped, lengths are limited."""
    groups: list[list[str]] = []
    room = MAX_WORDS
    for entry in entries[:MAX_GROUPS]:
        words = (clean_line(word, 120) for word in split_words(entry[:8000]))
        group = list(dict.fromkeys(word for word in words if not says_nothing(word)))[:room]
        if group and group not in groups:
            groups.append(group)
            room -= len(group)
    return groups


def skipped_fields(invalid: list[str], where: str) -> Iterator[Problem]:
    """Report the fields that could not be read."""
    if invalid:
        yield Problem(where, clean_line(f"left out because it is invalid: {'; '.join(invalid)}", 300), skipped=False)


def _read_version(row: Any, model: SiteModel | None, where: str) -> Iterator[Card | Problem]:
    try:
        version, invalid = read_record(SiteVersion, row)
    except ValidationError as error:
        yield Problem(where, first_error(error))
        return
    yield from skipped_fields(invalid, where)
    if version.id is None:
        yield Problem(where, "id: the version has no number")
        return
    yield from version_cards(version, model or version.model, where)


def _adapter_files(version: SiteVersion) -> list[SiteFile]:
    """List the adapter files, the primary one first, each once."""
    files = sorted((f for f in version.files if f.is_safetensors), key=lambda f: not f.primary)
    return list({_hashes(f)[0] or n: f for n, f in reversed(list(enumerate(files)))}.values())[::-1]


def version_card(version: SiteVersion, model: SiteModel, file: SiteFile, *, main: bool = True) -> Card:
    """Make the card of one file of a version; missing fields keep their defaults."""
    stem = stem_of(clean_line(file.name, MAX_NAME))
    name = clean_line(model.name, MAX_NAME) or stem
    sha256, aliases = _hashes(file)
    tags = list(dict.fromkeys(clean_line(tag, 80).lower() for tag in model.tags[:MAX_TAGS] if tag.strip()))
    description = _description(version, model)
    examples = read_examples(version.images, stem)
    author = author_weight(plain_text(version.description, 2_000)) or author_weight(description)
    used = example_weight(examples)
    key = "" if version.id is None else f"civitai-{version.id}"
    owner = model.id if model.id is not None else version.modelId
    return Card(
        id=sha256 or (key if main else f"{key}-{file.id}"),
        model_key=f"civitai-{owner}" if owner is not None else key,
        version_key=key,
        sha256=sha256,
        aliases=aliases,
        name=name,
        version=clean_line(version.name, MAX_NAME),
        description=description,
        tags=tags,
        creator=clean_line(str((model.creator or version.creator).get("username") or ""), 100),
        base_model=clean_line(version.baseModel, 100),
        family=_family(version),
        kind=kind_of(name, tags),
        trigger_groups=trigger_groups(version.trainedWords),
        weight=used if used is not None else author.value if author else None,
        weight_source="examples" if used is not None else "author" if author else None,
        weight_min=author.low if author else None,
        weight_max=author.high if author else None,
        licence=read_licence(model),
        nsfw_level=nsfw_level(model.nsfw, version.nsfwLevel, model.nsfwLevel),
        poi=model.poi or "celebrity" in tags,
        minor=model.minor,
        stats=_stats(version, model),
        examples=examples,
        file_name=clean_line(file.name, MAX_NAME),
        file_size=round(file.sizeKB * 1024) if 0 < file.sizeKB < 2**40 else None,
        created_at=clean_line(version.createdAt, 40) or None,
    )


def _family(version: SiteVersion) -> Family:
    """Read the family; "Other" means SD 1 before `SDXL`."""
    if version.baseModel == "Other" and "2022" < version.createdAt < SDXL:
        return "sd15"
    return family_of(version.baseModel)


def _hashes(file: SiteFile) -> tuple[str | None, Any]:
    """Read a file's hashes in lower case; values that are not hex are dropped."""
    values = {kind: str(value).strip().lower() for kind, value in file.hashes.items() if value}
    valid = {kind: value for kind, value in values.items() if _HEX.fullmatch(value)}
    sha256 = valid.get("SHA256", "")
    return sha256 if len(sha256) == 64 else None, {_HASHES[kind]: v for kind, v in valid.items() if kind in _HASHES}


def _description(version: SiteVersion, model: SiteModel) -> str:
    parts = (plain_text(model.description, MAX_DESCRIPTION), plain_text(version.description, MAX_DESCRIPTION))
    return "\n".join(part for part in parts if part)[:MAX_DESCRIPTION]


def _stats(version: SiteVersion, model: SiteModel) -> Stats:
    own = version.stats
    return Stats(
        downloads=_count(own.downloadCount or model.stats.downloadCount),
        likes=_count(own.thumbsUpCount or model.stats.thumbsUpCount or model.stats.favoriteCount),
        rating=own.rating or model.stats.rating,
    )


def _count(number: float) -> int:
    return int(max(0, min(number, 2**53)))


def _what_was_cut(version: SiteVersion, model: SiteModel, card: Card) -> str:
    described = len(model.description) + len(version.description)
    words = sum(entry.count(",") + 1 for entry in version.trainedWords)
    sizes = (
        ("characters of description", described if _is_full(card.description) else 0, MAX_DESCRIPTION),
        ("trigger words", words, MAX_WORDS),
        ("trigger groups", len(version.trainedWords), MAX_GROUPS),
        ("tags", len(model.tags), MAX_TAGS),
    )
    return ", ".join(f"{size:,} {what}" for what, size, limit in sizes if size > limit)


def _is_full(description: str) -> bool:
    return len(description) > MAX_DESCRIPTION - 10  # white space at the end of the cut is dropped


def first_error(error: ValidationError) -> str:
    """Return pydantic's first error as one line."""
    return clean_line(faults(error, 1), 200)
