"""The card: what we know of one adapter file, whoever told us. The record that importers write and search reads."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stylus_gen.tools.families import Family

Kind = Literal[
    "style", "character", "concept", "clothing", "pose", "background", "object", "slider", "accelerator", "unknown"
]

WeightSource = Literal["user", "examples", "author", "kind", "default"]


class Licence(BaseModel):
    """What the author allows. ``None`` means that nobody said.

    The flags are Civitai's: ``credit_required`` is the negation of its ``allowNoCredit``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    credit_required: bool | None = None
    commercial: frozenset[Literal["image", "rentcivit", "rent", "sell"]] | None = None
    derivatives: bool | None = None
    different_licence: bool | None = None
    name: str | None = None


class Stats(BaseModel):
    """How much others used and liked it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    downloads: int = 0
    likes: int = 0
    rating: float = 0.0


class Example(BaseModel):
    """A prompt that somebody ran with this adapter, and the weight they gave it (``None`` if it does not say)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    weight: float | None = None


class Card(BaseModel):
    """One adapter file (a version of a model) and what we know of it.

    ``id`` is the file's SHA-256 in lower-case hex where anybody knows it, else ``<source>-<version id>``.
    ``model_key`` groups the versions of one model, ``<source>-<model id>``; ``version_key`` the files of one version
    (empty: the file is the version's only one).
    ``trigger_groups`` are alternatives: a group fits one concept; never are all of them added.
    ``provenance`` says which source each field came from.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    model_key: str
    version_key: str = ""
    sha256: str | None = None
    aliases: dict[Literal["autov1", "autov2", "autov3", "crc32", "blake3"], str] = Field(default_factory=dict)
    name: str
    version: str = ""
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    creator: str = ""
    base_model: str = ""
    family: Family = "unknown"
    shapes: list[Family] = Field(default_factory=list, description="families that its tensors fit, likeliest first")
    kind: Kind = "unknown"
    trigger_groups: list[list[str]] = Field(default_factory=list)
    weight: float | None = None
    weight_source: WeightSource | None = None
    weight_min: float | None = None
    weight_max: float | None = None
    licence: Licence = Licence()
    nsfw_level: int = Field(default=1, description="bitmask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked")
    poi: bool = Field(default=False, description="shows a real person")
    minor: bool = Field(default=False, description="shows a minor")
    stats: Stats = Stats()
    examples: list[Example] = Field(default_factory=list)
    file_name: str = ""
    file_size: int | None = Field(default=None, description="bytes")
    path: str | None = Field(default=None, description="where it is installed on this machine")
    retired: bool = Field(default=False, description="its file is gone and no other source lists it: kept as history")
    created_at: str | None = None
    provenance: dict[str, str] = Field(default_factory=dict)

    @property
    def trigger_words(self) -> list[str]:
        """List all trigger words of all groups, once each, in order."""
        return list(dict.fromkeys(word for group in self.trigger_groups for word in group))
