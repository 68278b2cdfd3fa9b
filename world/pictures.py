"""Make the grid of thing × style: npm fetches the icon sets' SVGs into a cache, and they are rasterised.

Nothing that is fetched is shipped.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.progress import Progress
from stylus_gen.world.things import STYLES, THINGS

# The releases that the shipped weights were trained on.
RELEASES = {
    "noto": "1.2.9",
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "fluent-emoji-high-contrast": "1.2.6",
    "fxemoji": "1.2.2",
    "twemoji": "1.2.5",
    "emojione": "1.2.3",
    "streamline-emojis": "1.2.4",
}

MORE = 900  # other icons of each style, for the judge to learn styles from


@dataclass(frozen=True)
class Grid:
    """``pixels`` uint8 (things, styles, size, size, 3) on white; ``present`` says which pictures exist."""

    pixels: npt.NDArray[np.uint8]
    present: npt.NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Give the side of a picture in pixels."""
        return int(self.pixels.shape[2])


def load_grid(cache: Path, size: int, progress: Progress) -> Grid:
    """Rasterise all pictures at ``size``×``size``, or read them from the cache."""
    saved = cache / f"grid-{size}-{len(THINGS)}.npz"
    if not saved.is_file():
        grid = _rasterise(cache, size, progress)
        np.savez_compressed(saved, pixels=grid.pixels, present=grid.present)
    with np.load(saved) as arrays:
        return Grid(arrays["pixels"], arrays["present"])


def _rasterise(cache: Path, size: int, progress: Progress) -> Grid:
    pixels = np.full((len(THINGS), len(STYLES), size, size, 3), 255, np.uint8)
    present = np.zeros((len(THINGS), len(STYLES)), np.bool_)
    for s, style in enumerate(STYLES):
        icons = json.loads((_fetch(style.package, cache) / "icons.json").read_text("utf-8"))
        index = _index(icons)
        for t, thing in enumerate(THINGS):
            if name := index.get(_plain(thing)):
                pixels[t, s] = _draw(_svg(icons, name), size)
                present[t, s] = True
        progress(s + 1, len(STYLES), f"{style.package}: {int(present[:, s].sum())} pictures")
    return Grid(pixels, present)


def _fetch(package: str, cache: Path) -> Path:
    folder = cache / f"{package}-{RELEASES[package]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    wanted = f"@iconify-json/{package}@{RELEASES[package]}"
    try:
        subprocess.run(["npm", "pack", "--silent", wanted], cwd=cache, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(
            f"npm could not fetch {wanted}: install npm, or put the unpacked package at {folder}"
        ) from error
    with tarfile.open(cache / f"iconify-json-{package}-{RELEASES[package]}.tgz") as archive:
        archive.extractall(folder, filter="data")
    inner = folder / "package"
    return inner.rename(folder.with_suffix(".inner")).rename(_emptied(folder))


def _emptied(folder: Path) -> Path:
    folder.rmdir()
    return folder


def _plain(name: str) -> str:
    return name.replace("-", "")


def _index(icons: dict[str, Any]) -> dict[str, str]:
    """Map hyphenless names to icon names; "cloud" is "cloud-1" where no plain one exists."""
    index: dict[str, str] = {}
    for name in [*icons["icons"], *icons.get("aliases", {})]:
        index.setdefault(_plain(name), name)
    for name in sorted(icons["icons"]):
        index.setdefault(_plain(re.sub(r"-\d$", "", name)), name)
    return index


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    body = icon["body"].replace("currentColor", "#000")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{width}" height="{height}">{body}</svg>'
    )


def _draw(svg: str, size: int) -> npt.NDArray[np.uint8]:
    import resvg_py
    from PIL import Image

    large = resvg_py.svg_to_bytes(svg_string=svg, width=size * 8, height=size * 8, background="#ffffff")
    picture = Image.open(io.BytesIO(bytes(large))).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))


def load_more(cache: Path, size: int, progress: Progress) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Give icons of each style that are none of the world's things, and the numbers of their styles."""
    saved = cache / f"more-{size}-{MORE}.npz"
    if not saved.is_file():
        pictures, numbers = [], []
        for s, style in enumerate(STYLES):
            icons = json.loads((_fetch(style.package, cache) / "icons.json").read_text("utf-8"))
            names = _others(icons)
            pictures += [_draw(_svg(icons, name), size) for name in names]
            numbers += [s] * len(names)
            progress(s + 1, len(STYLES), f"{style.package}: {len(names)} more pictures")
        np.savez_compressed(saved, pictures=np.stack(pictures), styles=np.array(numbers))
    with np.load(saved) as arrays:
        return arrays["pictures"], arrays["styles"]


def _others(icons: dict[str, Any]) -> list[str]:
    """Choose up to `MORE` icons by the hash of their names: no thing of the world, no flag, no repeated skin tone."""
    taken = {_plain(name) for name in THINGS}
    names = [
        name
        for name in icons["icons"]
        if _plain(re.sub(r"-\d$", "", name)) not in taken
        and not re.search(r"skin-tone|flag|-(light|medium|dark)", name)
    ]
    return sorted(names, key=lambda name: zlib.crc32(name.encode()))[:MORE]
