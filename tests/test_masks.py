"""Which adapters are on for which image."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stylus_gen.tools.masks import pick_masks
from stylus_gen.tools.plan import Assignment


def assigned(*concepts: str) -> list[Assignment]:
    return [
        Assignment(concept_id=c, adapter_id=f"a{i}", model_key=f"m{i}", name="x", kind="style", family="sd15",
                   score=1, weight=0.8, weight_source="default", reason="x")
        for i, c in enumerate(concepts)
    ]  # fmt: skip


def test_by_default_every_adapter_is_on_in_every_image() -> None:
    assert pick_masks(assigned("c1", "c2"), images=3, seed=5) == ((True, True),) * 3


def test_nothing_assigned_gives_empty_rows() -> None:
    assert pick_masks([], images=2, seed=5, diversity=1) == ((), ())


def test_alternatives_take_turns() -> None:
    rows = pick_masks(assigned("c1", "c1", "c2"), images=3, seed=0, alternate=["c1"])
    assert rows == ((True, False, True), (False, True, True), (True, False, True))


def test_asking_for_more_images_keeps_the_first_ones() -> None:
    few = pick_masks(assigned("c1", "c1", "c2", "c3"), images=3, seed=1, diversity=0.8)
    assert pick_masks(assigned("c1", "c1", "c2", "c3"), images=9, seed=1, diversity=0.8)[:3] == few


def test_diverse_rows_differ_while_there_are_different_ones() -> None:
    assert len(set(pick_masks(assigned("c1", "c2", "c3"), images=6, seed=3, diversity=1))) == 6


@given(
    concepts=st.lists(st.sampled_from("abc"), min_size=1, max_size=6),
    images=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
    diversity=st.floats(0, 1),
    alternate=st.sets(st.sampled_from("abc")),
)
def test_no_image_is_without_adapters_and_no_concept_is_half_on(
    concepts: list[str], images: int, seed: int, diversity: float, alternate: set[str]
) -> None:
    rows = pick_masks(assigned(*concepts), images=images, seed=seed, diversity=diversity, alternate=alternate)
    assert len(rows) == images
    for row in rows:
        assert any(row)
        for concept in set(concepts):
            on = [flag for flag, c in zip(row, concepts, strict=True) if c == concept]
            assert sum(on) in (0, 1) if concept in alternate else sum(on) in (0, 1, len(on))
