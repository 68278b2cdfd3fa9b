"""`stylus eval retrieval` on invented files: what it prints, what it counts, what it refuses."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stylus_gen.eval.folder import sweep
from stylus_gen.eval.gold import read_gold, throw_away_database
from stylus_gen.eval.ranking import calibration_error, figures, rank, reliability
from stylus_gen.eval.retrieval import evaluate_retrieval, language_of
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.store.adapters import count_cards
from tests.fixtures.catalogue import MODELS, write_catalogue

NOTHING = Embedder("nothing", 2, lambda texts: np.tile(np.array([1, 0], np.float32), (len(texts), 1)))


def row(prompt: str, adapters: Any, without: str = "a fox") -> dict[str, Any]:
    return {"prompt": prompt, "prompt_without_triggers": without, "adapters": adapters, "checkpoint": "x"}


def write_gold(folder: Path, rows: list[Any], name: str = "gold.jsonl") -> Path:
    path = folder / name
    text = "\n".join(json.dumps(value) for value in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def evaluate(folder: Path, rows: list[Any], models: list[Any] | None = None) -> dict[str, Any]:
    adapters, gold = write_catalogue(folder, models), write_gold(folder, rows)
    return evaluate_retrieval(adapters, gold, embedder=NOTHING, progress=lambda *_: None)


def test_prompts_that_name_their_adapters_are_found_and_counted(tmp_path: Path) -> None:
    rows = [
        row("1girl, wanostyle", {"1": 0.8}),
        row("zelphira, watercolor dreams", {"2": 1, "3": 0.5}, without=""),
        row("a fox", {"999999": 1}),
    ]
    report = evaluate(tmp_path, rows, [*MODELS, MODELS[0], {"id": 5, "broken": True}])
    assert report["with_triggers"]["r_at"] == pytest.approx(
        {"1": 2 / 3, "10": 2 / 3, "50": 2 / 3, "150": 2 / 3}, abs=1e-4
    )
    assert report["n"] == 3
    assert set(report) == {"with_triggers", "without_triggers", "ece", "latency_ms", "n", "more"}
    assert set(report["latency_ms"]) == {"p50", "p95", "p99"}
    assert report["more"]["unanswerable"] == 1
    assert report["more"]["import"]["skipped"] == 1
    assert report["more"]["groups"]["with_triggers"]["kind: style"]["n"] == 1
    json.dumps(report, allow_nan=False)


def test_nothing_is_left_of_the_throw_away_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        evaluate_retrieval(
            write_catalogue(tmp_path),
            write_gold(tmp_path, [row("wanostyle", {"1": 1})]),
            embedder=NOTHING,
            progress=interrupt,
        )
    assert not list(tmp_path.glob("stylus-eval-*"))


WAITS = """
import sys, time
from stylus_gen.eval.gold import throw_away_database
with throw_away_database() as db:
    print("open", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_measurement_that_is_stopped_leaves_no_server_and_no_folder(tmp_path: Path, end: signal.Signals) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        assert servers_in(tmp_path)
        process.send_signal(end)
        assert process.wait(30) == (-end if end == signal.SIGKILL else 128 + end)
    if end == signal.SIGKILL:
        subprocess.run([sys.executable, "-c", "from stylus_gen.eval.folder import sweep as s; s()"], env=environment)
    assert not list(tmp_path.glob("stylus-eval-*"))
    assert not servers_in(tmp_path)


def servers_in(folder: Path) -> list[str]:
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(line) for line in lines if line and "postgres" in line[0] and str(folder) in " ".join(line)]


def test_a_sweep_leaves_what_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "stylus-eval-made-just-now").mkdir()
    with throw_away_database() as db, throw_away_database() as other:
        assert count_cards(db) == count_cards(other) == 0
        sweep()
        assert count_cards(db) == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["stylus-eval-made-just-now"]


def interrupt(done: int, total: int, message: str) -> None:
    if message == "searching":
        raise KeyboardInterrupt


def test_adapters_that_no_prompt_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"none of the 1 prompts used an adapter of 'models.jsonl'"):
        evaluate(tmp_path, [row("wanostyle", {"77": 1})])


def test_adapters_of_which_none_can_be_imported_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"no adapter of 'models.jsonl' could be imported; models.jsonl, line 1: "):
        evaluate(tmp_path, [row("wanostyle", {"1": 1})], [{"id": 1}])


def test_gold_is_read_zipped_or_not(tmp_path: Path) -> None:
    rows = [row("a", {"1": 1}), row("b", {2: 0.5})]
    plain, zipped = write_gold(tmp_path, rows), write_gold(tmp_path, rows, "gold.jsonl.gz")
    assert read_gold(plain) == read_gold(zipped)
    assert read_gold(plain, limit=1)[0].used == {"civitai-1": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no prompts"),
        ("not json", "line 1: not JSON"),
        ("[1]", "line 1 is not a gold prompt"),
        ('{"prompt": "a", "adapters": {"1": 1}}', "KeyError: 'prompt_without_triggers'"),
        ('{"prompt": 1, "prompt_without_triggers": "a", "adapters": {"1": 1}}', "its prompts are not text"),
        ('{"prompt": "a", "prompt_without_triggers": "a", "adapters": {"1": "much"}}', "could not convert"),
        ('{"prompt": "a", "prompt_without_triggers": "a", "adapters": [1]}', "'list' object has no attribute"),
    ],
)
def test_a_gold_file_of_another_form_is_refused_and_the_row_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(text)
    with pytest.raises(BadRequest, match=said):
        read_gold(path)


def test_a_gold_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no gold file exists at"):
        read_gold(tmp_path / "none.jsonl")


def test_a_model_that_stands_twice_in_a_ranking_is_one_hit() -> None:
    ranking = rank([("a", 0.6), ("b", 0.2), ("b", 0.1)], {"b"}, {})
    assert (ranking.hits, ranking.chance, ranking.right) == ((2,), 0.6, False)
    assert figures([ranking])["ndcg_at_10"] == pytest.approx(1 / np.log2(3), abs=1e-4)
    assert figures([rank([], {"b"}, {})])["mrr"] == 0


def test_the_calibration_error_is_the_mean_distance_of_what_is_said_and_what_is_so() -> None:
    rankings = [rank([("a", 0.9)], {"a"}, {}), rank([("a", 0.9)], {"b"}, {})]
    assert calibration_error(rankings) == pytest.approx(0.4)
    assert reliability([0.05, 1.0], [False, True])[-1] == {"from": 0.9, "n": 1, "said": 1.0, "right": 1.0}


def test_languages_are_told_by_their_letters() -> None:
    assert [language_of(text) for text in ("a fox", "лиса", "きつね", "여우", "狐狸")] == [
        "Latin", "Cyrillic", "Japanese", "Korean", "Chinese",
    ]  # fmt: skip
