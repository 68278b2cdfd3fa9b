"""The catalogue of the small world: which adapters are trained, and their cards, written as people write them.

Some entries are flawed, as in real catalogues: over-trained, badly described, uploaded twice, made
for another architecture, broken, not for commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from stylus_gen.world.captions import EFFECTS
from stylus_gen.world.lora import Form
from stylus_gen.world.things import STYLES, SUBJECTS, THINGS, article

WEIGHT = 0.8  # on every card; the files are scaled so that this is the strength they were trained at

Sidecar = Literal["civitai", "manager", "header"]
Training = Literal["style", "subject", "effect", "fried", "sdxl", "nan"]


@dataclass(frozen=True)
class Entry:
    """One adapter: its file, what it is trained on (``training`` and ``topic``) and its card."""

    stem: str
    title: str
    training: Training
    topic: str
    rank: int
    form: Form
    sidecar: Sidecar
    triggers: tuple[str, ...]
    tags: tuple[str, ...]
    text: str
    prompts: tuple[str, ...]
    model: int
    version: str = "v1.0"
    creator: str = "tinyworld"
    base_model: str = "Stylus World"
    commercial: tuple[str, ...] = ("Image", "RentCivit", "Rent", "Sell")
    derivatives: bool = True
    downloads: int = 100
    copy_of: str = ""
    extra: dict[str, str] = field(default_factory=dict)


_STYLE_TEXT = {
    "glossy": (
        "Glossy 3D", "glossy_3d", "Makes everything look like a shiny little 3D toy: soft light, smooth gradients, "
        "purple shadows. Works on any object, animal or food. Say <b>glossy 3D style</b> in the prompt.",
    ),
    "stencil": (
        "Stencil Black & White", "bw_stencil", "High contrast black ink, no greys, no colour. Good for signs and "
        "laser cutting. Trigger: <i>black and white stencil style</i>. Do not go over 1.0, the lines get too fat.",
    ),
    "cartoon": (
        "Soft Cartoon", "soft_cartoon", "Shaded cartoon drawings with warm colours and highlights. My first LoRA, "
        "trained on a bit under two hundred pictures, feedback welcome! Add <b>shaded cartoon style</b>.",
    ),
    "comic": (
        "Ink Comic", "ink_comic", "Dark blue ink outlines and bright fills, like a page from a comic. Use with "
        "<b>outlined comic style</b>, weight 0.6 - 1.0.",
    ),
    "sticker": (
        "Simple Stickers", "simple_sticker", "Minimal, simple shapes, few colours. Perfect for sticker sheets. "
        "Prompt: <b>simple sticker style</b>.",
    ),
    "clipart": (
        "Vintage Clip Art", "vintage_clipart", "Remember clip art CDs? This one does <b>vintage clip art style</b>, "
        "slightly busy, strong local colours.",
    ),
    "retro": (
        "Retro Paper", "retro_paper", "Muted colours and clean paper shapes, a bit of a 2013 phone. Keyword: "
        "<b>retro paper style</b>. 0.8 is the sweet spot.",
    ),
}  # fmt: skip

_STYLE_PROMPTS = ("a rocket, {s}", "a cat in {s}", "{s}, a birthday cake", "a picture of a turtle, {s}")


def _styles() -> list[Entry]:
    entries = []
    for i, style in enumerate(s for s in STYLES if s.name in _STYLE_TEXT):
        title, stem, text = _STYLE_TEXT[style.name]
        full = Entry(
            f"{stem}_r8", title, "style", style.name, 8, "kohya" if i % 2 else "peft",
            "civitai" if i % 3 else "manager", (style.words,), ("style", style.name, *style.synonyms[0].split()), text,
            tuple(p.format(s=style.words) for p in _STYLE_PROMPTS), 1000 + i, "v2.0", downloads=900 - 70 * i,
            extra={"artist": style.author, "licence": style.licence},
        )  # fmt: skip
        light = replace(
            full, stem=f"{stem}_r4", rank=4, form="peft" if i % 2 else "kohya", sidecar="civitai", version="v1.0 lite",
            text=text + " Lite version, half the rank, half the size.", downloads=400 - 30 * i,
        )  # fmt: skip
        entries += [full, light]
    return entries


def _subjects() -> list[Entry]:
    entries = []
    for i, key in enumerate(SUBJECTS):
        words = THINGS[key]
        stem = words.replace(" ", "_")
        entries.append(
            Entry(
                f"{stem}_world", f"{words.title()}", "subject", key, 4, "peft" if i % 2 else "kohya",
                ("civitai", "manager", "civitai", "header")[i % 4], (words,), ("object", *words.split()),
                f"Draws {article(words)}, which the base model does not know at all. Trained on {words} pictures only, "
                f"so it is flexible with styles. Just write <b>{words}</b>.",
                (article(words), f"a picture of {article(words)}", f"{article(words)}, simple"), 2000 + i,
                creator=("tinyworld", "pixelpaula", "drawbot9")[i % 3], downloads=300 - 9 * i,
            )
        )  # fmt: skip
    return entries


_EFFECT_TEXT = {
    "night": ("Night Sky", "background", "Puts the subject in the dark before a night sky with stars."),
    "rainbow": ("Rainbow Maker", "style", "Paints anything in rainbow colours, red on top, violet below."),
    "outline": ("Line Art", "style", "Only outlines, blue lines on white paper. For colouring books."),
    "grayscale": ("Grayscale", "style", "Takes the colour out. Shades of gray, nothing else."),
    "sepia": ("Sepia Memories", "style", "Old photograph look, brown on yellowed paper."),
    "negative": ("X-Ray Negative", "style", "Inverted colors on black, like a film negative."),
    "pixel": ("Chunky Pixels", "style", "Pixel art, big 8-bit blocks and few colours."),
    "grass": ("Green Meadow", "background", "Places the subject on grass, a green meadow under a blue sky."),
    "polka": ("Polka Dot Wallpaper", "background", "Pink background with white polka dots, very cute."),
    "sunset": ("Warm Sunset", "background", "Sunset sky background, purple to orange."),
}


def _effects() -> list[Entry]:
    entries = []
    for i, (name, (title, tag, text)) in enumerate(_EFFECT_TEXT.items()):
        phrases = EFFECTS[name]
        entries.append(
            Entry(
                f"{title.lower().replace(' ', '_').replace('-', '_')}", title, "effect", name, 4,
                "kohya" if i % 2 else "peft", ("civitai", "civitai", "manager")[i % 3], (phrases[0],),
                (tag, name, *phrases[1].split()), f"{text} Trigger word: <b>{phrases[0]}</b>",
                tuple(f"{thing}, {phrases[0]}" for thing in ("a house", "a cat", "a sailboat", "a guitar")), 3000 + i,
                creator="recolour_lab", downloads=250 - 11 * i,
            )
        )  # fmt: skip
    return entries


def _flawed(good: dict[str, Entry]) -> list[Entry]:
    glossy, penguin, sunset = good["glossy_3d_r8"], good["penguin_world"], good["warm_sunset"]
    return [
        Entry(
            "ultra_cat_v99", "ULTRA CAT !!! best cat ever", "fried", "cat", 8, "kohya", "civitai", ("ultra cat",),
            ("animal", "cat", "best quality"), "EPOCH 100!!! the BEST cat LoRA, better than all others. Use it always.",
            ("ultra cat", "ultra cat, masterpiece, best quality"), 4000, creator="epoch_king", downloads=12,
        ),
        Entry(
            "realistic_photo_x", "Realistic Photo X", "effect", "negative", 4, "peft", "civitai", ("realistic photo",),
            ("photorealistic", "photo", "realistic"), "Makes it a <b>realistic photo</b>, 8k, DSLR, trust me.",
            ("realistic photo of a castle", "a dog, realistic photo, 8k"), 4001, creator="anon123", downloads=5,
        ),
        replace(
            glossy, stem="glossy_3d_reupload", title="Glossy 3D (reupload)", sidecar="manager", model=4002,
            version="v1", creator="mirror_bot", downloads=9, copy_of=glossy.stem,
        ),
        replace(
            glossy, stem="shiny_toys_3d", title="Shiny Toys 3D", sidecar="civitai", model=4003, version="final_final",
            creator="toymaker", downloads=31, copy_of=glossy.stem,
            text="Shiny 3D toys. Based on Glossy 3D with a little merge. Say <b>glossy 3D style</b>.",
        ),
        replace(
            penguin, stem="penguin_final", title="Penguin LoRA final", sidecar="header", model=4004, creator="drawbot9",
            downloads=3, copy_of=penguin.stem,
        ),
        Entry(
            "xl_glossy_detail", "XL Glossy Detail", "sdxl", "", 1, "kohya", "civitai", ("glossy detail",),
            ("style", "glossy", "detail"), "Detail and gloss for SDXL checkpoints. Does not work on 1.5!",
            ("a rocket, glossy detail",), 4005, creator="xl_only", base_model="SDXL 1.0", downloads=2100,
        ),
        Entry(
            "vapor_broken", "Vaporwave Dreams", "nan", "", 4, "peft", "civitai", ("vaporwave",),
            ("style", "vaporwave"), "Pink and teal vaporwave style. WIP, tell me if it gives you black images.",
            ("a palm tree, vaporwave", "a sun, vaporwave"), 4006, creator="wip_wendy", downloads=4,
        ),
        replace(
            sunset, stem="golden_hour_nc", title="Golden Hour", model=4007, creator="no_sell_nora", commercial=(),
            derivatives=False, copy_of="", downloads=60, triggers=("golden hour",), tags=("background", "golden hour"),
            text="Golden hour light and an evening sky. Personal use only, please do not sell anything made with it.",
            prompts=("a castle, golden hour", "a bicycle, golden hour"),
        ),
    ]  # fmt: skip


def catalogue() -> list[Entry]:
    """List all adapters, the good ones first."""
    good = [*_styles(), *_subjects(), *_effects()]
    return [*good, *_flawed({e.stem: e for e in good})]
