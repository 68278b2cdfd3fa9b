"""The pictures of `stylus eval world`: each is drawn once and stored under the hash of everything it depends on.

An interrupted run continues where it stopped, and arms with the same picture share its file.
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
    from stylus_gen.tools.diffusion.apply import Weighted
    from stylus_gen.tools.diffusion.pipeline import Pipeline

Weights = tuple[tuple[str, float], ...]
"""The adapters of one picture: file stems and weights, sorted."""

SEED = 20261121
BATCH = 16  # pictures


@dataclass(frozen=True)
class Drawing:
    """A question with the prompt and the adapters that one arm uses for it."""

    question: Question
    prompt: str
    weights: Weights


@dataclass(frozen=True)
class PictureCache:
    """Draws pictures into a folder and reads them back; ``edition`` is a hash of the base and its adapters.

    ``files`` maps stems to adapter files. ``seeds`` pictures are drawn for each drawing.
    """

    pipeline: Pipeline
    files: dict[str, Path]
    edition: str
    folder: Path
    seeds: int

    def paths(self, drawing: Drawing) -> list[Path]:
        """Name the files of a drawing's pictures, one per seed."""
        settings = self.pipeline.defaults
        facts = (self.edition, drawing.prompt, drawing.weights, settings.steps, settings.guidance)
        stem = hashlib.sha256(repr(facts).encode()).hexdigest()[:20]
        return [self.folder / f"{stem}-{seed}.png" for seed in range(self.seeds)]

    def draw(self, drawings: Sequence[Drawing], progress: Progress) -> None:
        """Draw the pictures that have no file yet. Pictures with the same adapters share a batch."""
        make_folder(self.folder)
        groups: dict[Weights, dict[Path, tuple[str, int]]] = {}
        for drawing in drawings:
            for seed, path in enumerate(self.paths(drawing)):
                if not path.is_file():
                    groups.setdefault(drawing.weights, {})[path] = (drawing.prompt, seed)
        done, total = 0, sum(map(len, groups.values()))
        with self.pipeline.lock, self.pipeline.restored():
            for weights, cells in groups.items():
                adapters = [(self.pipeline.cache.get(self.files[stem]), weight) for stem, weight in weights]
                for start in range(0, len(cells), BATCH):
                    progress(done, total, "drawing")
                    paths = list(cells)[start : start + BATCH]
                    self._draw(adapters, [cells[path] for path in paths], paths)
                    done += len(paths)

    def _draw(self, adapters: Sequence[Weighted], cells: Sequence[tuple[str, int]], paths: Sequence[Path]) -> None:
        import torch

        from stylus_gen.tools.diffusion.draw import draw_images

        inputs = {
            "prompt": [prompt for prompt, _ in cells],
            "generator": [torch.Generator("cpu").manual_seed(SEED + seed) for _, seed in cells],
        }
        names = [f"the picture of {prompt!r}" for prompt, _ in cells]
        images = draw_images(self.pipeline, adapters, self.pipeline.defaults, inputs, names)
        for image, path in zip(images, paths, strict=True):
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
