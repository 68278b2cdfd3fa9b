"""The Python API: everything the other doors do, they do through `Stylus`.

Nothing heavy is opened before it is needed: planning never imports torch, searching opens no model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stylus_gen.settings import Settings, read_settings

if TYPE_CHECKING:
    from stylus_gen.tools.diffusion.recipe import Recipe
    from stylus_gen.tools.embed import Embedder
    from stylus_gen.tools.generate import Picture, Studio
    from stylus_gen.tools.store.database import Database

Progress = Callable[[int, int, str], None]
"""Called with (done, total, message)."""


def silent(done: int, total: int, message: str) -> None:
    """Show no progress."""


class Result:
    """What `Stylus.generate` made: the pictures' paths and their recipes, in the order of the plan's masks."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = tuple(pictures)

    @property
    def images(self) -> list[Path]:
        """List the paths of the PNG files."""
        return [picture.path for picture in self.pictures]

    @property
    def recipes(self) -> list[Recipe]:
        """List what was really run for each picture."""
        return [picture.recipe for picture in self.pictures]


class Stylus:
    """Find, judge, weigh and draw.

    Keyword arguments are the fields of `Settings`; each overrides its ``STYLUS_*`` variable. Use it in a ``with``: the
    embedded database stops with the last process that uses it.
    """

    def __init__(
        self,
        *,
        database_url: str | None = None,
        model: str | None = None,
        base: str | None = None,
        progress: Progress = silent,
        **more: Any,
    ) -> None:
        self.settings: Settings = read_settings(database_url=database_url, model=model, base=base, **more)
        self.progress = progress
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database and the model."""
        self._stack.close()

    @cached_property
    def database(self) -> Database:
        """Open the adapter store."""
        from stylus_gen.tools.store.database import open_database

        url = self.settings.database_url.get_secret_value() if self.settings.database_url else None
        return self._stack.enter_context(open_database(url, self.settings.home.expanduser()))

    @cached_property
    def embedder(self) -> Embedder:
        """Open the text embedder."""
        from stylus_gen.tools.embed import minilm

        return minilm()

    @cached_property
    def base(self) -> str:
        """Name the base model: the one that is set, else the small world's."""
        if self.settings.base:
            return self.settings.base
        from stylus_gen.world import base_path

        return str(base_path())

    @cached_property
    def studio(self) -> Studio:
        """Load the base model."""
        from stylus_gen.tools.generate import open_studio

        return open_studio(
            self.base,
            device=self.settings.device,
            dtype=self.settings.dtype,
            family=self.settings.family,
            progress=self.progress,
        )
