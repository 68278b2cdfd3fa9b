"""Adapter files are read once, by many threads, and the oldest are forgotten."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from stylus_gen.tools.generate import Pipeline
from stylus_gen.tools.lora.adapter import Adapter, read_adapter
from stylus_gen.tools.lora.cache import AdapterCache
from tests.fixtures import tiny

pytestmark = tiny.DIFFUSERS_WARNS


def test_a_file_is_read_once_until_it_changes(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, pick=("to_q",))
    path = tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(lora))
    first = pipeline.cache.get(path)
    assert pipeline.cache.get(path) is first
    tiny.write(path, tiny.peft_tensors(lora))
    assert pipeline.cache.get(path).sha256 != first.sha256


def test_threads_that_read_together_leave_the_process_sound(pipeline: Pipeline, tmp_path: Path) -> None:
    paths = [
        tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, seed=i)))
        for i in range(8)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            adapters = list(pool.map(pipeline.cache.get, paths))
    finally:
        sys.setswitchinterval(interval)
    assert len({a.sha256 for a in adapters}) == 8
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


def test_the_least_recently_used_adapters_are_forgotten_above_the_limit(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = [tiny.make_lora(pipeline.pipe, seed=i) for i in range(3)]
    paths = [tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(one)) for i, one in enumerate(lora)]
    read: list[Path] = []

    def count(path: Path) -> Adapter:
        read.append(path)
        return read_adapter(path, pipeline.runtime.sites, base="unknown")

    cache = AdapterCache(count, limit=2 * paths[0].stat().st_size + 100)
    for i in (0, 1, 0, 2, 0, 1):
        cache.get(paths[i])
    assert [path.stem for path in read] == ["0", "1", "2", "1"]
