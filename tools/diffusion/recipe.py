"""The recipe: what was run for one picture. It is written into the PNG and is enough to draw the picture again.

Imports no torch. A picture may come from a stranger: what is read is limited and validated, nothing in it is used as a
path, and no pixel is decoded to read it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Annotated, Literal, Self

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field, ValidationError, model_validator

from stylus_gen.tools.a1111 import Use, format_parameters
from stylus_gen.tools.diffusion.png import MAX_TEXT, read_texts, whose
from stylus_gen.tools.diffusion.settings import RenderSettings
from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family
from stylus_gen.tools.file import make_folder, write_whole
from stylus_gen.tools.plan import MaskRow, Plan, Record, Text, up_to
from stylus_gen.tools.stem import stem_of

CHUNK = "stylus_recipe"

_END = b"\0\0\0\0IEND\xaeB`\x82"


class AppliedAdapter(Record):
    """One adapter that was merged in. ``matched`` and ``unmatched`` count the modules of its file."""

    adapter_id: Text
    name: Text
    file_name: Text
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    autov3: str = Field(pattern=r"^[0-9a-f]{12}$")
    weight: float = Field(ge=-5, le=5)
    matched: int = Field(ge=1)
    unmatched: int = Field(default=0, ge=0)


class Recipe(Record):
    """What was run for one picture. With the same base and adapter files it makes the same pixels.

    ``base`` is a folder's name or a hub id, never a path; ``base_fingerprint`` identifies the base.
    ``settings`` has no ``None``. ``schema_version`` works like the plan's; the plan inside has its own.
    """

    schema_version: Annotated[Literal[1], up_to(1, "recipe")] = 1
    plan: Plan
    image: int = Field(ge=0, description="which row of the plan's masks")
    mask: MaskRow
    control: bool = False
    prompt: Text = Field(description="what was given to the model")
    negative_prompt: Text = ""
    seed: int = Field(ge=0, le=2**63 - 1)
    settings: RenderSettings
    sampler: Text = Field(description="A1111's name of the scheduler")
    base: Text
    base_fingerprint: Text
    family: Family
    adapters: tuple[AppliedAdapter, ...] = ()
    device: Text
    dtype: Text
    versions: dict[Text, Text] = Field(description="of the libraries, and how many threads")
    warnings: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name, value in self.settings if value is None]
        if missing:
            raise ValueError(f"the settings {missing} are missing")
        return self

    @property
    def key(self) -> str:
        """Hash (16 hex digits) everything that decides the pixels except the library versions."""
        deciding = {"prompt", "negative_prompt", "seed", "settings", "base_fingerprint", "device", "dtype"}
        text = self.model_dump_json(include=deciding) + repr([(a.sha256, a.weight) for a in self.adapters])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def file_name(self) -> str:
        """Name the picture: number, whether it is a control, key."""
        return f"{self.image:03d}{'-control' if self.control else ''}-{self.key}.png"

    @property
    def parameters(self) -> str:
        """Format the recipe as the text that A1111 and galleries read."""
        of = self.settings
        fields = [
            ("Steps", str(of.steps)),
            ("Sampler", self.sampler),
            ("CFG scale", f"{of.guidance:g}"),
            ("Seed", str(self.seed)),
            ("Size", f"{of.width}x{of.height}"),
            ("Model hash", self.base_fingerprint[:10]),
            ("Model", self.base),
            ("Version", f"stylus-gen {self.versions.get('stylus-gen', '?')}"),
        ]
        uses = [Use(stem_of(a.file_name), a.weight, a.autov3) for a in self.adapters]
        return format_parameters(self.prompt, self.negative_prompt, fields, uses)


def write_picture(image: Image.Image, recipe: Recipe, path: Path) -> None:
    """Write a PNG with its recipe, whole or not at all."""
    info = PngInfo()
    info.add_text("parameters", recipe.parameters)
    info.add_text(CHUNK, recipe.model_dump_json())
    png = io.BytesIO()
    image.save(png, format="PNG", pnginfo=info)
    make_folder(path.parent)
    write_whole(path, png.getvalue())


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in a picture. Raises BadRequest where there is none, or an invalid one."""
    texts = read_texts(path)
    if CHUNK not in texts:
        raise BadRequest(f"{path.name!r} holds no {CHUNK}, which only Stylus writes: {whose(texts)}")
    text, whole = texts[CHUNK]
    if not whole:
        raise BadRequest(f"the recipe in {path.name!r} is longer than {MAX_TEXT} bytes: it is not one of ours")
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise BadRequest(f"the recipe in {path.name!r} cannot be used: {faults(error, 1)}") from None


def is_whole(path: Path) -> bool:
    """Check that a PNG file was written to its end."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END)))
        return file.read() == _END
