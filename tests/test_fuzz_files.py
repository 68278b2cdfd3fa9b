from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FUZZ = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "fuzz_files.py"))
SLICE = 150  # of each kind: the whole takes minutes and is run by hand


@pytest.mark.parametrize("kind", FUZZ["KINDS"])
def test_broken_files_are_read_or_refused_quickly_and_without_a_traceback(kind: str, tmp_path: Path) -> None:
    tally = FUZZ["fuzz"](FUZZ["KINDS"][kind], SLICE, f"0/{kind}", tmp_path, lambda done: None)
    assert tally.faults == {}
    assert tally.taken + tally.refused == SLICE
    assert tally.seconds < FUZZ["MAX_SECONDS"]
