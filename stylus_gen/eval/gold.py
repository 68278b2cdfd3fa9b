"""Gold prompts: prompts of real users with the adapters they used, and a temporary database to evaluate them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylus_gen.eval.folder import throw_away_folder
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.ingest.summary import ImportSummary, Problem
from stylus_gen.tools.store.database import Database, open_database


@dataclass(frozen=True)
class Prompt:
    """A prompt with and without its adapters' trigger words, and the adapters used (model keys to weights)."""

    text: str
    without_triggers: str
    used: Mapping[str, float]


def read_gold(path: Path, limit: int | None = None) -> list[Prompt]:
    """Read gold prompts, ``.jsonl`` or ``.json``, also gzipped. Raises BadRequest naming the first invalid row."""
    if not path.is_file():
        raise BadRequest(f"no gold file exists at {str(path)!r}: expected prompts as .jsonl or .jsonl.gz")
    rows = read_rows(path, lambda _: None)
    prompts = [_prompt(row) for row, _ in zip(rows, range(limit or 10**9), strict=False)]
    if not prompts:
        raise BadRequest(f"{str(path)!r} holds no prompts: it is empty")
    return prompts


def _prompt(row: tuple[str, Any] | Problem) -> Prompt:
    if isinstance(row, Problem):
        raise BadRequest(f"{row.where}: {row.why}; expected {_EXPECTED}")
    where, value = row
    try:
        used = {f"civitai-{model}": float(weight) for model, weight in value["adapters"].items()}
        prompt = Prompt(value["prompt"], value["prompt_without_triggers"], used)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(
            f"{where} is not a gold prompt ({type(error).__name__}: {error}); expected {_EXPECTED}"
        ) from None
    if not isinstance(prompt.text, str) or not isinstance(prompt.without_triggers, str):
        raise BadRequest(f"{where} is not a gold prompt: its prompts are not text; expected {_EXPECTED}")
    return prompt


_EXPECTED = "an object with prompt, prompt_without_triggers and adapters (model id: weight)"


@contextmanager
def throw_away_database() -> Iterator[Database]:
    """Open an empty database on its own embedded server; delete both at the end."""
    with throw_away_folder() as folder, open_database(None, folder) as db:
        yield db


def require_overlap(db: Database, summary: ImportSummary, prompts: Sequence[Prompt], adapters: Path) -> None:
    """Raise BadRequest if no adapter was imported, or if no prompt used an imported one."""
    with db.pool.connection() as conn:
        known = {key for (key,) in conn.execute("SELECT key FROM models")}
    if not known:
        why = summary.problems[0] if summary.problems else None
        reason = f"{why.where}: {why.why}" if why else "it is empty"
        raise BadRequest(f"no adapter of {adapters.name!r} could be imported; {reason}")
    if not any(key in known for prompt in prompts for key in prompt.used):
        raise BadRequest(
            f"none of the {len(prompts)} prompts used an adapter of {adapters.name!r}: expected its model ids as the "
            "keys of 'adapters'"
        )
