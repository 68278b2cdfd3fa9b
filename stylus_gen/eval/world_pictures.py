"""The pictures of `stylus eval world`: each is drawn once and kept under the hash of all that it depends on.

A run that was interrupted goes on where it stopped, and arms that agree on a picture share it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stylus_gen.tools.file import make_folder, write_whole
from stylus_gen.tools.progress import Progress
from stylus_gen.world.evaluation import Question

if TYPE_CHECKING:
    from stylus_gen.tools.diffusion.pipeline import Pipeline

Weights = tuple[tuple[str, float], ...]
"""File stems and weights, sorted: what one picture is drawn with."""

SEED = 20261121
BATCH = 16


@dataclass(frozen=True)
class Drawing:
    """One question as one arm draws it."""

    question: Question
    prompt: str
    weights: Weights


@dataclass(frozen=True)
class Easel:
    """Where and with what pictures are drawn; ``edition`` stands for the weights of the world and its adapters."""

    pipeline: Pipeline
    files: dict[str, Path]
    edition: str
    folder: Path
    seeds: int

    def paths(self, drawing: Drawing) -> list[Path]:
        """Name the files of a drawing's pictures, one a seed."""
        of = self.pipeline.defaults
        facts = (self.edition, drawing.prompt, drawing.weights, of.steps, of.guidance)
        stem = hashlib.sha256(repr(facts).encode()).hexdigest()[:20]
        return [self.folder / f"{stem}-{seed}.png" for seed in range(self.seeds)]

    def draw(self, drawings: Sequence[Drawing], progress: Progress) -> None:
        """Draw what has no file yet. Pictures with the same adapters share a batch."""
        make_folder(self.folder)
        groups: dict[Weights, dict[Path, tuple[str, int]]] = {}
        for drawing in drawings:
            for seed, path in enumerate(self.paths(drawing)):
                if not path.is_file():
                    groups.setdefault(drawing.weights, {})[path] = (drawing.prompt, seed)
        done, total = 0, sum(map(len, groups.values()))
        with self.pipeline.lock, self.pipeline.restored():
            for weights, cells in groups.items():
                self.pipeline.runtime.apply([(self.pipeline.cache.get(self.files[stem]), w) for stem, w in weights])
                for start in range(0, len(cells), BATCH):
                    progress(done, total, "drawing")
                    paths = list(cells)[start : start + BATCH]
                    self._draw([cells[path] for path in paths], paths)
                    done += len(paths)

    def _draw(self, cells: Sequence[tuple[str, int]], paths: Sequence[Path]) -> None:
        import torch

        of = self.pipeline.defaults
        made = self.pipeline.pipe(
            [prompt for prompt, _ in cells],
            num_inference_steps=of.steps,
            guidance_scale=of.guidance,
            generator=[torch.Generator("cpu").manual_seed(SEED + seed) for _, seed in cells],
            output_type="pil",
        )
        for image, path in zip(made.images, paths, strict=True):
            png = io.BytesIO()
            image.save(png, format="png")
            write_whole(path, png.getvalue())

    def read(self, drawings: Sequence[Drawing]) -> npt.NDArray[np.float32]:
        """Read drawn pictures: float (drawings, seeds, h, w, 3) in [0, 1]."""
        from PIL import Image

        def pixels(path: Path) -> npt.NDArray[np.float32]:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)

        return np.stack([np.stack([pixels(path) for path in self.paths(drawing)]) for drawing in drawings])
