"""Adapters are taken out again without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.generate import Pipeline, load_base
from tests.fixtures import tiny
from tests.fixtures.weights import BOTH, bits, same_bits

pytestmark = tiny.DIFFUSERS_WARNS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_twenty_swaps_leave_no_trace(folder: Path, tmp_path: Path, dtype: str) -> None:
    pipeline = load_base(str(folder), dtype=dtype)
    before = bits(pipeline)
    adapters = [
        pipeline.cache.get(
            tiny.write(
                tmp_path / f"{i}.safetensors",
                tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, components=BOTH, seed=i)),
            )
        )
        for i in range(3)
    ]
    for i in range(20):
        pipeline.runtime.apply([(adapters[i % 3], 0.1 * i), (adapters[(i + 1) % 3], -0.3)])
        assert not same_bits(before, bits(pipeline))
    pipeline.runtime.restore()
    assert same_bits(before, bits(pipeline))


def test_order_repetition_and_weight_zero_change_no_bit(pipeline: Pipeline, tmp_path: Path) -> None:
    one, two, three = (
        pipeline.cache.get(
            tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, seed=i)))
        )
        for i in range(3)
    )
    results = []
    for adapters in (
        [(one, 0.7), (two, 0.3)],
        [(two, 0.3), (one, 0.7)],
        [(two, 0.3), (three, 0.0), (one, 0.2), (one, 0.7)],
    ):
        pipeline.runtime.apply([(three, 1.0)])
        pipeline.runtime.apply(adapters)
        results.append(bits(pipeline))
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])


def test_an_overflow_is_refused_and_the_base_given_back(folder: Path, tmp_path: Path) -> None:
    pipeline = load_base(str(folder), dtype="float16")
    before = bits(pipeline)
    lora = tiny.make_lora(pipeline.pipe, size=300.0)
    adapter = pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(lora)))
    with pytest.raises(AdapterRejected, match="overflows float16"):
        pipeline.runtime.apply([(adapter, 5.0)])
    assert same_bits(before, bits(pipeline))


def test_an_interrupted_merge_gives_the_base_back(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bits(pipeline)
    path = tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe)))
    adapter = pipeline.cache.get(path)
    done = []

    def interrupt_after_three(*args: Any) -> None:
        done.append(args[0].add_(1))
        if len(done) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("stylus_gen.tools.diffusion.apply.add_patch", interrupt_after_three)
    with pytest.raises(KeyboardInterrupt):
        pipeline.runtime.apply([(adapter, 1.0)])
    assert len(done) == 3
    assert same_bits(before, bits(pipeline))
