"""Masks: which assignments are on for which image. The paper's scheme (arXiv 2404.18928, section 3.3), made lazy.

For each concept a mask is one-hot, all ones or all zeros; a row of the plan joins one such mask per concept. Its
code enumerates every combination first, 2^n for a concept; here a row is drawn when it is needed. A third of its images
had no adapter; here a row is empty only if there are no assignments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from stylus_gen.tools.plan import Assignment, MaskRow

TRIES = 16
"""Draws to find a new row, before a row is repeated."""


def pick_masks(
    assignments: Sequence[Assignment],
    *,
    images: int,
    seed: int,
    diversity: float = 0.0,
    alternate: Collection[str] = (),
) -> tuple[MaskRow, ...]:
    """Draw one row per image.

    With ``diversity`` 0 every adapter is on in every image; with 1 each concept's mask is drawn evenly from the paper's
    scheme; between, that share of them is. Concepts in ``alternate`` show one adapter an image, in turn, never several.
    The first row is the plan as a whole.
    """
    spots = _spots(assignments)
    rows: list[MaskRow] = []
    for image in range(images):
        draw = Random(f"{seed}/{image}")  # a row depends on its number only: asking for more images keeps the first
        row = _row(spots, len(assignments), image, draw, diversity if image else 0.0, alternate)
        for _ in range(TRIES if diversity and image else 0):
            if row not in rows:
                break
            row = _row(spots, len(assignments), image, draw, diversity, alternate)
        rows.append(row)
    return tuple(rows)


def _spots(assignments: Sequence[Assignment]) -> dict[str, list[int]]:
    spots: dict[str, list[int]] = {}
    for index, assignment in enumerate(assignments):
        spots.setdefault(assignment.concept_id, []).append(index)
    return spots


def _row(
    spots: dict[str, list[int]], size: int, image: int, draw: Random, diversity: float, alternate: Collection[str]
) -> MaskRow:
    on: set[int] = set()
    for concept, indices in spots.items():
        turn = {indices[image % len(indices)]}
        whole = turn if concept in alternate else set(indices)
        options = [set(), *({index} for index in indices)] + ([] if concept in alternate else [set(indices)])
        on |= draw.choice(options) if draw.random() < diversity else whole
    if not on and size:
        on = {draw.randrange(size)}
    return tuple(index in on for index in range(size))
