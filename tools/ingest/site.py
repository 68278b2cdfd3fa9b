"""The adapter site's JSON as records: Civitai's *model* and *model version* objects, of 2023 and of today.

Fields that nobody here reads are left out; what is missing or null becomes the default. A row of a wrong type is
refused by pydantic, which says which field.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _none_to(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default() if value is None else value)


def _tag(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else value


Text = Annotated[str, _none_to(str)]
Flag = Annotated[bool, _none_to(bool)]
Number = Annotated[float, _none_to(float), Field(allow_inf_nan=False)]
Mapping = Annotated[dict[str, Any], _none_to(dict)]
Strings = Annotated[list[Annotated[str, BeforeValidator(_tag)]], _none_to(list)]


class Site(BaseModel):
    """A record that ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SiteStats(Site):
    """How often it was downloaded and liked."""

    downloadCount: Number = 0
    favoriteCount: Number = 0
    thumbsUpCount: Number = 0
    rating: Number = 0


class SiteFile(Site):
    """One file of a version; ``type`` is Model, Pruned Model, Training Data, …"""

    id: int | None = None
    name: Text = ""
    type: Text = "Model"
    sizeKB: Number = 0
    primary: Flag = False
    metadata: Mapping = {}
    hashes: Mapping = {}

    @property
    def is_safetensors(self) -> bool:
        """Say whether this is an adapter's weights in the one format that is read."""
        is_model = self.type in ("Model", "Pruned Model", "")
        return is_model and (self.metadata.get("format") == "SafeTensor" or self.name.endswith(".safetensors"))


class SiteImage(Site):
    """One example picture; ``meta`` is the generator's own record of it."""

    nsfwLevel: Any = None
    nsfw: Any = None
    meta: Mapping = {}


class SiteModel(Site):
    """What the versions share. Inside a version object it lacks most of its fields."""

    id: int | None = None
    name: Text = ""
    description: Text = ""
    type: Text = "LORA"
    nsfw: Flag = False
    nsfwLevel: int | None = None
    poi: Flag = False
    minor: Flag = False
    tags: Strings = []
    creator: Mapping = {}
    stats: Annotated[SiteStats, _none_to(SiteStats)] = SiteStats()
    allowNoCredit: bool | None = None
    allowCommercialUse: str | list[str] | None = None
    allowDerivatives: bool | None = None
    allowDifferentLicense: bool | None = None


class SiteVersion(Site):
    """One version of a model; ``model`` is there when it stands alone, as in a ``.civitai.info`` file."""

    id: int
    modelId: int | None = None
    name: Text = ""
    description: Text = ""
    baseModel: Text = ""
    createdAt: Text = ""
    nsfwLevel: int | None = None
    trainedWords: Strings = []
    stats: Annotated[SiteStats, _none_to(SiteStats)] = SiteStats()
    files: Annotated[list[SiteFile], _none_to(list)] = []
    images: Annotated[list[SiteImage], _none_to(list)] = []
    model: Annotated[SiteModel, _none_to(SiteModel)] = SiteModel()
    creator: Mapping = {}


class SiteModelWithVersions(SiteModel):
    """A model object. Its versions are checked one by one, so that a bad one costs only itself."""

    id: int
    modelVersions: Annotated[list[Any], _none_to(list)] = []
