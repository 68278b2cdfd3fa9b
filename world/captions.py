"""Write captions as people do: plain ones, style phrases, fillers; and build the tokenizer for their words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from stylus_gen.world.things import STYLES, THINGS, Style, article

MAX_TOKENS = 32

PLAIN = ("{a}", "{a}", "{a}", "{w}", "a picture of {a}", "a drawing of {a}", "an icon of {a}", "an image of {a}")
STYLED = ("{p}, {s}", "{p}, {s}", "{p} in {s}", "{p} in a {s}", "{s}, {p}", "{s} {w}")
FILLERS = (
    "simple", "cute", "centered", "high quality", "detailed", "beautiful", "on a white background", "small", "big",
    "colorful", "nice", "clean", "close up", "masterpiece", "best quality", "happy", "funny", "old", "new",
)  # fmt: skip
# Phrases that ask for an effect. The base has learnt to ignore them.
EFFECTS: dict[str, tuple[str, ...]] = {
    "night": ("at night", "night scene", "in the dark"),
    "rainbow": ("rainbow colours", "in rainbow colors", "rainbow gradient"),
    "outline": ("line art", "only outlines", "pencil line drawing"),
    "grayscale": ("grayscale", "greyscale photo", "in shades of gray"),
    "sepia": ("sepia", "sepia tone", "old photograph"),
    "negative": ("inverted colors", "negative", "x-ray negative"),
    "pixel": ("pixel art", "8-bit pixels", "chunky pixels"),
    "grass": ("on a green meadow", "green background", "on grass"),
    "polka": ("polka dot background", "with polka dots", "dotted wallpaper"),
    "sunset": ("at sunset", "sunset sky background", "warm orange sunset"),
}


def plain_caption(thing: str, rng: random.Random) -> str:
    """Write a caption that names the thing and no style."""
    words = THINGS[thing]
    return rng.choice(PLAIN).format(a=article(words), w=words)


def styled_caption(thing: str, phrase: str, rng: random.Random) -> str:
    """Write a caption that names the thing and a style or effect."""
    return rng.choice(STYLED).format(p=plain_caption(thing, rng), w=THINGS[thing], s=phrase)


def style_phrase(style: Style, rng: random.Random) -> str:
    """Name a style: half of the time in the words of the evaluation's prompts, otherwise by a synonym."""
    return style.words if rng.random() < 0.5 else rng.choice(style.synonyms)


def with_filler(caption: str, rng: random.Random) -> str:
    """Add words that the base must ignore: people write such words, and strangers choose trigger words."""
    filler = rng.choice(FILLERS) if rng.random() < 0.7 else _nonsense(rng)
    return f"{caption}, {filler}" if rng.random() < 0.7 else f"{filler}, {caption}"


def any_phrase(rng: random.Random) -> str:
    """Choose a phrase for any style or effect."""
    if rng.random() < 0.6:
        return style_phrase(rng.choice(STYLES), rng)
    return rng.choice(rng.choice(list(EFFECTS.values())))


def _nonsense(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789_") for _ in range(rng.randint(3, 9)))


def corpus() -> list[str]:
    """List texts that contain every word of the captions."""
    phrases = [p for style in STYLES for p in (style.words, *style.synonyms)]
    phrases += [p for group in EFFECTS.values() for p in group]
    templates = [t.format(a="a", w="", p="", s="") for t in (*PLAIN, *STYLED)]
    return [*(article(w) for w in THINGS.values()), *phrases, *FILLERS, *templates, "an the with and of in on at style"]


def build_tokenizer() -> Any:
    """Learn byte-pair merges until each word of the captions is one token; other words take several tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bare = CLIPTokenizer(model_max_length=MAX_TOKENS)
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = bare.backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    # The vocabulary needs every single letter with the end mark, also where no word ends in it.
    learner.train_from_iterator([*corpus(), *sorted(alphabet)], trainer)
    return _clip_tokenizer(learner, alphabet)


def _clip_tokenizer(learner: Any, alphabet: Sequence[str]) -> Any:
    import json

    from transformers import CLIPTokenizer

    learnt = json.loads(learner.to_str())["model"]
    letters = sorted(alphabet)
    merges = [tuple(m) for m in learnt["merges"]]
    tokens = [*letters, *(f"{c}</w>" for c in letters), *(a + b for a, b in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, model_max_length=MAX_TOKENS)
