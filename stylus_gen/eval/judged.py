"""Judged prompts: everyday requests, and for each some adapters graded right (2), acceptable (1) or wrong (0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.ingest.summary import Problem

_EXPECTED = "an object with id, slice, prompt and judged ({model id: [grade, span it serves]})"


@dataclass(frozen=True)
class JudgedPrompt:
    """A prompt and its graded models: model key to (grade 0, 1 or 2, the span it serves, case folded)."""

    id: str
    slice: str
    prompt: str
    grades: Mapping[str, tuple[int, str]]

    @property
    def spans(self) -> frozenset[str]:
        """Name the spans that a right adapter exists for."""
        return frozenset(span for grade, span in self.grades.values() if grade == 2)

    @property
    def wants_nothing(self) -> bool:
        """Tell whether no adapter serves this prompt at all."""
        return all(grade == 0 for grade, _ in self.grades.values())

    def grade(self, model_key: str) -> int | None:
        """Say how a model was graded; ``None``: it never was."""
        return self.grades[model_key][0] if model_key in self.grades else None


def read_judged(path: Path, limit: int | None = None) -> list[JudgedPrompt]:
    """Read judged prompts, ``.jsonl`` or ``.json``, gzipped or not. Raises BadRequest naming the first bad row."""
    if not path.is_file():
        raise BadRequest(f"no file of judged prompts is at {str(path)!r}: expected .jsonl or .jsonl.gz")
    rows = read_rows(path, lambda _: None)
    prompts = [_judged(row) for row, _ in zip(rows, range(limit or 10**9), strict=False)]
    if not prompts:
        raise BadRequest(f"{str(path)!r} holds no prompts: it is empty")
    return prompts


def _judged(row: tuple[str, Any] | Problem) -> JudgedPrompt:
    if isinstance(row, Problem):
        raise BadRequest(f"{row.where}: {row.why}; expected {_EXPECTED}")
    where, value = row
    try:
        grades = {f"civitai-{model}": _grade(*told) for model, told in value["judged"].items()}
        return JudgedPrompt(str(value["id"]), str(value["slice"]), _text(value["prompt"]), grades)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(
            f"{where} is no judged prompt ({type(error).__name__}: {error}); expected {_EXPECTED}"
        ) from None


def _grade(grade: int, span: str = "") -> tuple[int, str]:
    if grade not in (0, 1, 2):
        raise ValueError(f"the grade {grade!r} is none of 0, 1, 2")
    return grade, span.casefold()


def _text(prompt: object) -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise TypeError("its prompt is no text")
    return prompt
