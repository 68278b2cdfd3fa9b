"""`stylus eval plans` on invented files: what it counts, what it prints, what it refuses; the statistics it shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylus_gen.agent.offline import OFFLINE
from stylus_gen.eval.judged import read_judged
from stylus_gen.eval.paired import bootstrap, paired_difference, sign_test
from stylus_gen.eval.plans import Graded, compare, evaluate_plans, read_run, summarise
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.search.embed import minilm
from tests.fixtures.catalogue import write_catalogue


def graded(grades: list[int | None], *, name: str = "a", part: str = "named", **more: Any) -> Graded:
    facts = {"spans": 1, "covered": 0, "covered_acceptably": 0, "serves_nothing": False, "pairs": 2, "found": 1}
    return Graded(id=name, slice=part, grades=tuple(grades), ms=10.0, **{**facts, **more})


def write_judged(folder: Path, rows: list[Any]) -> Path:
    path = folder / "judged.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_what_nobody_judged_counts_as_wrong_and_is_counted_apart() -> None:
    report = summarise([graded([2, None, 1], covered=1, covered_acceptably=1)])
    assert (report["right"], report["right_or_acceptable"]) == (0.3333, 0.6667)
    assert (report["prompts_with_wrong"], report["unjudged"]) == (1, 1)


def test_paraphrases_are_told_apart_and_quiet_is_of_prompts_that_nothing_serves() -> None:
    report = summarise(
        [
            graded([2], covered=1),
            graded([], part="paraphrase", spans=2),
            graded([], part="plain", spans=0, serves_nothing=True, pairs=0, found=0),
            graded([0], part="plain", spans=0, serves_nothing=True, pairs=0, found=0),
        ]
    )
    assert (report["spans_covered"], report["spans_covered_named"]) == (0.3333, 1)
    assert report["spans_covered_paraphrase"] == 0
    assert report["quiet"] == 0.5
    assert report["recall_at_10"] == 0.5
    assert report["by_slice"]["plain"]["n"] == 2


def test_shares_of_nothing_are_null() -> None:
    report = summarise([graded([], spans=0, pairs=0)])
    assert report["right"] is report["quiet"] is report["spans_covered"] is report["recall_at_10"] is None
    json.dumps(summarise([]), allow_nan=False)


def test_the_report_has_the_promised_keys(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "slice": "named", "prompt": "zelphira in a garden", "judged": {"2": [2, "Zelphira"], "1": [0]}},
        {"id": "b", "slice": "plain", "prompt": "a red bicycle", "judged": {"3": [0]}},
    ]
    measured = evaluate_plans(
        write_catalogue(tmp_path),
        write_judged(tmp_path, rows),
        planner=OFFLINE,
        embedder=minilm(),
        family="sd15",
        progress=lambda *_: None,
    )
    assert list(measured.report) == [
        "spans_covered", "spans_covered_named", "spans_covered_paraphrase", "right", "right_or_acceptable",
        "prompts_with_wrong", "quiet", "recall_at_10", "unjudged", "by_slice", "latency_ms", "n",
    ]  # fmt: skip
    assert (measured.report["spans_covered"], measured.report["quiet"], measured.report["n"]) == (1, 1, 2)
    assert [prompt.id for prompt in measured.prompts] == ["a", "b"]


def test_two_runs_are_compared_prompt_by_prompt(tmp_path: Path) -> None:
    mine = [graded([2], name=str(i), covered=1) for i in range(20)]
    yours = [graded([0], name=str(i)) for i in range(20)]
    path = tmp_path / "run.jsonl"
    lines = [{**vars(row), "grades": list(row.grades)} for row in yours]
    path.write_text("\n".join(map(json.dumps, [*lines, {"spans_covered": 0}])), encoding="utf-8")
    more = compare(mine, read_run(path))
    assert more["against"]["spans_covered"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert more["against"]["prompts_with_wrong"]["value"] == -1
    assert more["sign_test"] == {"spans_covered": 0.0, "prompts_with_wrong": 0.0, "n": 20}
    with pytest.raises(BadRequest, match="none of these prompts"):
        compare([graded([2], name="other")], yours)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1, "slice": "x", "prompt": "a"}, "KeyError"),
        ({"id": 1, "slice": "x", "prompt": "  ", "judged": {}}, "no text"),
        ({"id": 1, "slice": "x", "prompt": "a", "judged": {"1": [3, "a"]}}, "none of 0, 1, 2"),
        ({"id": 1, "slice": "x", "prompt": "a", "judged": {"1": []}}, "TypeError"),
        ([], "TypeError"),
    ],
)
def test_a_row_that_is_no_judged_prompt_is_named(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        read_judged(write_judged(tmp_path, [row]))


@pytest.mark.parametrize("read", [read_judged, read_run])
def test_a_missing_or_empty_file_is_refused_with_what_to_do(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(BadRequest, match="is at"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(BadRequest, match="holds no"):
        read(tmp_path / "empty.jsonl")


def test_an_interval_holds_the_mean_and_a_difference_is_paired() -> None:
    values = np.arange(100) % 2
    low, high = bootstrap(100, lambda rows: float(values[rows].mean()))
    assert 0.35 < low < 0.5 < high < 0.65
    gap = paired_difference(100, lambda rows: float(values[rows].mean() + 0.1), lambda rows: float(values[rows].mean()))
    assert (gap.value, gap.low, gap.high) == (0.1, 0.1, 0.1)
    assert bootstrap(0, lambda rows: 1.0) == (0.0, 0.0)
    assert paired_difference(0, lambda rows: 1.0, lambda rows: 1.0).value is None


def test_the_sign_test_ignores_ties() -> None:
    assert sign_test([1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0]) == pytest.approx(2 / 2**6)
    assert sign_test([1, 0], [0, 1]) == 1
    assert sign_test([], []) == 1
    with pytest.raises(ValueError, match="paired"):
        sign_test([1], [])
