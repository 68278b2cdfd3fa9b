"""Civitai's *model* and *model version* objects as records, in the forms of 2023 and of today.

Fields that are not used are ignored; missing or null fields get the default. A field of a wrong type gets the default
too, and is reported: see `read_record`.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stylus_gen.tools.errors import each_fault


def _none_to(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default() if value is None else value)


def _first(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: value[:limit] if isinstance(value, list) else value)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _tag(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else value


MAX_ENTRIES = 1_000
"""Of any list; further entries are ignored."""

Id = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, _none_to(str)]
Flag = Annotated[bool, _none_to(bool)]
Number = Annotated[float, _none_to(float), Field(allow_inf_nan=False)]
Object = Annotated[dict[str, Any], _none_to(dict)]
Strings = Annotated[list[Annotated[str, BeforeValidator(_tag)]], _none_to(list), _first(MAX_ENTRIES)]


class Site(BaseModel):
    """A record that ignores unknown fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SiteStats(Site):
    """How often it was downloaded and liked."""

    downloadCount: Number = 0
    favoriteCount: Number = 0
    thumbsUpCount: Number = 0
    rating: Number = 0


class SiteFile(Site):
    """One file of a version; ``type`` is Model, Pruned Model, Training Data, …"""

    id: Id | None = None
    name: Text = ""
    type: Text = "Model"
    sizeKB: Number = 0
    primary: Flag = False
    metadata: Object = {}
    hashes: Object = {}

    @property
    def is_safetensors(self) -> bool:
        """Say whether this file holds model weights as safetensors."""
        is_model = self.type in ("Model", "Pruned Model", "")
        return is_model and (self.metadata.get("format") == "SafeTensor" or self.name.endswith(".safetensors"))


class SiteImage(Site):
    """One example picture; ``meta`` is what its generator recorded."""

    nsfwLevel: Any = None
    nsfw: Any = None
    meta: Object = {}


class SiteModel(Site):
    """What the versions share. Inside a version object most fields are missing."""

    id: Id | None = None
    name: Text = ""
    description: Text = ""
    type: Text = "LORA"
    nsfw: Flag = False
    nsfwLevel: int | None = None
    poi: Flag = False
    minor: Flag = False
    tags: Strings = []
    creator: Object = {}
    stats: Annotated[SiteStats, _none_to(SiteStats)] = SiteStats()
    allowNoCredit: bool | None = None
    allowCommercialUse: str | list[str] | None = None
    allowDerivatives: bool | None = None
    allowDifferentLicense: bool | None = None


class SiteVersion(Site):
    """One version of a model; ``model`` is set when the version is on its own, as in a ``.civitai.info`` file.

    A sidecar that a user wrote may lack the id.
    """

    id: Id | None = None
    modelId: Id | None = None
    name: Text = ""
    description: Text = ""
    baseModel: Text = ""
    createdAt: Text = ""
    nsfwLevel: int | None = None
    trainedWords: Annotated[Strings, BeforeValidator(_listed)] = []
    stats: Annotated[SiteStats, _none_to(SiteStats)] = SiteStats()
    files: Annotated[list[SiteFile], _none_to(list), _first(MAX_ENTRIES)] = []
    images: Annotated[list[SiteImage], _none_to(list), _first(MAX_ENTRIES)] = []
    model: Annotated[SiteModel, _none_to(SiteModel)] = SiteModel()
    creator: Object = {}


class SiteModelWithVersions(SiteModel):
    """A model object. Its versions are validated one by one, so that an invalid one does not affect the others."""

    id: Id
    modelVersions: Annotated[list[Any], _none_to(list), _first(MAX_ENTRIES)] = []


Form = TypeVar("Form", bound=Site)

ESSENTIAL = frozenset({("type",), ("model", "type")})
"""Fields that must be valid, or the whole record is refused: they say whether it is an adapter."""

STRICTEST = {"poi": True, "minor": True, "nsfw": True, "nsfwLevel": 8}
"""The values of safety fields that are invalid."""


def read_record(form: type[Form], row: Any) -> tuple[Form, list[str]]:
    """Read a record; return it and the errors of its invalid fields, which get their defaults.

    Raises ValidationError if the row is not an object or an `ESSENTIAL` field is invalid.
    """
    try:
        return form.model_validate(row), []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        if not isinstance(row, dict) or any(f["loc"] in ESSENTIAL or not f["loc"] for f in faults):
            raise
        errors = each_fault(error)[:3]
    for fault in reversed(faults):  # from the end, so that list indexes stay valid
        row = _without(row, fault["loc"])
    return form.model_validate(row), errors + ([f"and {len(faults) - 3} more"] if len(faults) > 3 else [])


def _without(value: Any, path: tuple[int | str, ...]) -> Any:
    """Copy a value without the item at a path; pydantic's paths may continue below the item."""
    head, rest = path[0], path[1:]
    if isinstance(value, dict) and isinstance(head, str) and head in value:
        inner = value[head]
        deeper = rest and isinstance(inner, dict | list) and _leads(inner, rest[0])
        kept = {key: item for key, item in value.items() if key != head}
        if deeper:
            return {**kept, head: _without(inner, rest)}
        return {**kept, **({head: STRICTEST[head]} if head in STRICTEST else {})}
    if isinstance(value, list) and isinstance(head, int) and head < len(value):
        deeper = rest and isinstance(value[head], dict | list) and _leads(value[head], rest[0])
        return [*value[:head], *([_without(value[head], rest)] if deeper else []), *value[head + 1 :]]
    return value


def _leads(value: dict[str, Any] | list[Any], key: int | str) -> bool:
    return key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)
