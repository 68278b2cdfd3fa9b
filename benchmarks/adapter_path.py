"""Time our adapter path against diffusers': load, swap, change a weight, remove, and a denoising step afterwards.

Run by hand: ``python benchmarks/adapter_path.py [--device cuda] [--rank 32]``; results are in ADAPTER_PATH.md. The
model has Stable Diffusion 1.5's UNet with random weights (860M parameters), which takes the same time as the real one.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file

from stylus_gen.tools.diffusion.apply import AdapterRuntime
from stylus_gen.tools.lora.adapter import read_adapter
from stylus_gen.tools.lora.cache import AdapterCache

PICK = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")


def make_pipe(device: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(cross_attention_dim=768, sample_size=64).to(device, dtype).eval()
    absent = dict.fromkeys(("vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor"))
    return StableDiffusionPipeline(unet=unet, requires_safety_checker=False, **absent)


def write_lora(path: Path, unet: Any, rank: int, seed: int) -> Path:
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for name, module in unet.named_modules():
        if name.endswith(PICK):
            out, *rest = module.weight.shape
            stem = f"lora_unet_{name.replace('.', '_')}"
            ones = [1] * (len(rest) - 1)
            tensors[f"{stem}.lora_down.weight"] = torch.randn(rank, *rest, generator=generator).half() * 0.01
            tensors[f"{stem}.lora_up.weight"] = torch.randn(out, rank, *ones, generator=generator).half() * 0.01
            tensors[f"{stem}.alpha"] = torch.tensor(rank / 2)
    save_file(tensors, path)
    return path


def seconds(work: Callable[[], object], device: str, repeat: int) -> float:
    """Give the median of ``repeat`` runs: CPU seconds, which other jobs hardly lengthen, or wall-clock on a GPU."""
    cuda = device.startswith("cuda")
    clock = time.perf_counter if cuda else time.process_time
    times = []
    for _ in range(repeat):
        start = clock()
        work()
        if cuda:
            torch.cuda.synchronize()
        times.append(clock() - start)
    return statistics.median(times)


def step(unet: Any) -> None:
    weight = next(unet.parameters())
    latents = torch.zeros(2, 4, 32, 32, device=weight.device, dtype=weight.dtype)
    text = torch.zeros(2, 77, 768, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        unet(latents, 10, text)


def ours(pipe: Any, one: Path, two: Path, device: str, repeat: int) -> dict[str, float]:
    runtime = AdapterRuntime(pipe)

    def cache() -> AdapterCache:
        return AdapterCache(lambda path: read_adapter(path, runtime.sites, base="sd15"))

    bare = seconds(lambda: step(pipe.unet), device, repeat)
    kept = cache()
    a, b = kept.get(one), kept.get(two)
    runtime.apply([(a, 1.0), (b, 1.0)])  # makes the pristine copies, once in a process
    merged = seconds(lambda: step(pipe.unet), device, repeat)
    runtime.restore()
    turn = iter(range(10**6))
    figures = {
        "read a file: check, hash, bind": seconds(lambda: cache().get(one), device, repeat),
        "load one adapter, file included": seconds(
            lambda: (runtime.restore(), runtime.apply([(cache().get(one), 0.8)])), device, repeat
        ),
        "swap to another that is already read": seconds(
            lambda: runtime.apply([((a, b)[next(turn) % 2], 0.8)]), device, repeat
        ),
        "change a weight": seconds(lambda: runtime.apply([(a, 0.1 + 0.01 * next(turn))]), device, repeat),
        "two adapters": seconds(lambda: runtime.apply([(a, 0.5), (b, 0.01 * next(turn))]), device, repeat),
        "a denoising step with two adapters": merged,
    }
    return figures | {"remove them": seconds(runtime.restore, device, 1), "a denoising step without adapters": bare}


def theirs(pipe: Any, one: Path, two: Path, device: str, repeat: int) -> dict[str, float]:
    turn = iter(range(10**6))

    def load(path: Path, name: str) -> None:
        pipe.load_lora_weights(path, adapter_name=name)
        pipe.set_adapters([name], [0.8])

    def reload() -> None:
        pipe.unload_lora_weights()
        load(one, "one")

    figures = {"load one adapter, file included": seconds(reload, device, repeat)}
    load(two, "two")
    pipe.set_adapters(["one", "two"], [0.5, 0.5])
    wrapped = seconds(lambda: step(pipe.unet), device, repeat)
    figures |= {
        "swap to another that is already read": seconds(
            lambda: pipe.set_adapters([("one", "two")[next(turn) % 2]], [0.8]), device, repeat
        ),
        "change a weight": seconds(lambda: pipe.set_adapters(["one"], [0.01 * next(turn)]), device, repeat),
        "two adapters": seconds(lambda: pipe.set_adapters(["one", "two"], [0.5, 0.01 * next(turn)]), device, repeat),
        "a denoising step with two adapters": wrapped,
    }
    figures["remove them"] = seconds(pipe.unload_lora_weights, device, 1)
    return figures | {"a denoising step without adapters": seconds(lambda: step(pipe.unet), device, repeat)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    dtype = torch.float16 if asked.device.startswith("cuda") else torch.float32
    pipe = make_pipe(asked.device, dtype)
    step(pipe.unet)  # the first step is slower
    with tempfile.TemporaryDirectory() as folder:
        one, two = (write_lora(Path(folder) / f"{i}.safetensors", pipe.unet, asked.rank, i) for i in range(2))
        print(f"{one.stat().st_size / 2**20:.0f} MiB a file, rank {asked.rank}, {dtype}, {asked.device}")
        print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
        us = ours(pipe, one, two, asked.device, asked.repeat)
        them = theirs(pipe, one, two, asked.device, asked.repeat)
    print("| seconds, median | ours | diffusers | ratio |\n|---|---|---|---|")
    for name in us | them:
        mine, other = us.get(name), them.get(name)
        cells = [f"{x:.3f}" if x is not None else "–" for x in (mine, other)]
        ratio = f"{other / mine:.1f}×" if mine and other else "–"
        print(f"| {name} | {cells[0]} | {cells[1]} | {ratio} |")


if __name__ == "__main__":
    main()
