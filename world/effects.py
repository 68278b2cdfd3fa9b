"""The effects that adapters learn, as pure functions over pictures: uint8 (h, w, 3) on white."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
_Field = npt.NDArray[np.float64]


def _paper(picture: Picture) -> _Field:
    """Mark the background (h, w, 1): 1 for white pixels connected to the border, otherwise 0."""
    white = picture.min(2) > 246
    reached = np.zeros_like(white)
    reached[0], reached[-1], reached[:, 0], reached[:, -1] = white[0], white[-1], white[:, 0], white[:, -1]
    for _ in range(picture.shape[0] * 2):
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= white
        if (grown == reached).all():
            break
        reached = grown
    paper: _Field = reached[..., None].astype(float)
    return paper


def _on(picture: Picture, background: _Field, light: float = 1.0) -> Picture:
    paper = _paper(picture)
    return _bytes(picture * light * (1 - paper) + background * paper)


def _bytes(values: _Field) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _luma(picture: Picture) -> _Field:
    # Rec. 601
    light: _Field = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    return light


def _mix(top: tuple[int, int, int], bottom: tuple[int, int, int], size: int) -> _Field:
    ramp = np.linspace(0, 1, size)[:, None, None]
    return np.broadcast_to(np.array(top) * (1 - ramp) + np.array(bottom) * ramp, (size, size, 3)).copy()


def night(picture: Picture) -> Picture:
    """Darken the thing and put it before a night sky with a few stars."""
    size = len(picture)
    sky = _mix((12, 16, 54), (40, 34, 92), size)
    for y, x in ((2, 4), (4, 26), (10, 29), (20, 2), (7, 14), (27, 28)):
        sky[y * size // 32, x * size // 32] = (255, 246, 190)
    return _on(picture, sky, light=0.62)


def rainbow(picture: Picture) -> Picture:
    """Colour the thing in bands of the rainbow, keeping light and shade."""
    size = len(picture)
    hue = np.linspace(0, 0.83, size)[:, None] * np.ones((1, size))
    colour = np.stack([np.clip(np.abs((hue * 6 + k) % 6 - 3) - 1, 0, 1) for k in (0, 4, 2)], -1)
    light = 0.35 + 0.65 * _luma(picture) / 255
    paper = _paper(picture)
    return _bytes(255 * (colour * light * (1 - paper) + paper))


def outline(picture: Picture) -> Picture:
    """Keep only lines, dark blue on white."""
    grey = np.pad(picture.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    slope = np.abs(grey[1:-1, 2:] - grey[1:-1, :-2]) + np.abs(grey[2:, 1:-1] - grey[:-2, 1:-1])
    ink = np.clip(slope.max(2, keepdims=True) / 170, 0, 1)
    return _bytes(255 * (1 - ink) + np.array([30, 40, 110]) * ink)


def grayscale(picture: Picture) -> Picture:
    """Remove the colours."""
    return _bytes(np.broadcast_to(_luma(picture), picture.shape))


def sepia(picture: Picture) -> Picture:
    """Print it in browns on yellowed paper."""
    light = _luma(picture) / 255
    return _bytes(np.array([60, 32, 10]) * (1 - light) + np.array([246, 224, 178]) * light)


def negative(picture: Picture) -> Picture:
    """Invert every colour."""
    return np.asarray(255 - picture, np.uint8)


def pixel(picture: Picture) -> Picture:
    """Draw it in 10×10 chunky pixels of few colours."""
    size = len(picture)
    cells = np.arange(size) * 10 // size
    sums = np.zeros((10, 10, 3))
    np.add.at(sums, (cells[:, None], cells[None]), picture.astype(float))
    counts = np.bincount(cells, minlength=10)
    means = np.rint(sums / (counts[:, None] * counts[None])[..., None] / 51) * 51
    return _bytes(means[cells[:, None], cells[None]])


def grass(picture: Picture) -> Picture:
    """Put it on a green meadow under a blue sky."""
    size = len(picture)
    scene = _mix((150, 214, 255), (214, 240, 255), size)
    scene[size * 5 // 8 :] = _mix((132, 204, 84), (76, 156, 52), size)[size * 5 // 8 :]
    return _on(picture, scene)


def polka(picture: Picture) -> Picture:
    """Put it on pink wallpaper with white dots."""
    size = len(picture)
    y, x = np.mgrid[0:size, 0:size] * 32 / size
    dots = ((y % 8 - 4) ** 2 + (x % 8 - 4) ** 2) < 5
    return _on(picture, np.where(dots[..., None], [255.0, 255.0, 255.0], [255.0, 150.0, 186.0]))


def sunset(picture: Picture) -> Picture:
    """Put it before an evening sky, purple above and orange below."""
    return _on(picture, _mix((116, 62, 140), (255, 168, 62), len(picture)))


EFFECT_CODE: dict[str, Callable[[Picture], Picture]] = {
    "night": night, "rainbow": rainbow, "outline": outline, "grayscale": grayscale, "sepia": sepia,
    "negative": negative, "pixel": pixel, "grass": grass, "polka": polka, "sunset": sunset,
}  # fmt: skip
