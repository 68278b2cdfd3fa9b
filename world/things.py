"""The things of the world, the styles they are drawn in, and what is kept from training. Data only.

A thing's key is its icon name in Noto; its value is what people call it. A style's ``package`` is its npm package.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

ANIMALS = """\
ant bird cactus cat cow-face:cow crocodile dog-face:dog dolphin elephant four-leaf-clover goat honeybee:bee
horse-face:horse koala lady-beetle:ladybug maple-leaf monkey-face:monkey mouse-face:mouse mushroom octopus
palm-tree penguin pig-face:pig rooster rose snail snake spiral-shell:shell sunflower tropical-fish turtle bear frog
rabbit-face:rabbit spider tiger-face:tiger deciduous-tree:tree spouting-whale:whale"""
FOOD = """\
beer-mug birthday-cake candy cherries cocktail-glass cookie doughnut:donut french-fries grapes hamburger:burger
hot-beverage:cup-of-coffee lemon pear red-apple:apple shortcake:slice-of-cake soft-ice-cream:ice-cream-cone
strawberry sushi tomato watermelon wine-glass banana lollipop pineapple pizza"""
PLACES = """\
airplane ambulance anchor automobile:car bicycle bus cloud crescent-moon droplet:water-drop ferris-wheel fire
fire-engine helicopter house-with-garden:house rainbow rocket sailboat ship snowflake sun-with-face:sun tent
tractor umbrella vertical-traffic-light:traffic-light alarm-clock castle globe-showing-americas:globe
high-voltage:lightning-bolt hourglass-done:sand-timer mount-fuji:mountain snowman star volcano"""
OBJECTS = """\
battery bell bomb crown door dress glasses graduation-cap guitar headphone:headphones jeans microphone microscope
musical-keyboard:piano musical-note open-book paperclip ring sunglasses television trumpet violin wrench books
camera candle desktop-computer:computer envelope hammer high-heeled-shoe:high-heel key light-bulb
magnifying-glass-tilted-left:magnifying-glass megaphone moai:stone-statue t-shirt telephone top-hat pencil
red-paper-lantern:lantern"""
GAMES = """\
american-football:football balloon baseball christmas-tree crystal-ball jack-o-lantern:pumpkin sparkles basketball
game-die:dice heart-suit:heart soccer-ball sports-medal:medal trophy wrapped-gift:gift video-game:game-controller
tennis:tennis-ball"""


def _read(table: str) -> dict[str, str]:
    pairs = (entry.partition(":") for entry in table.split())
    return {key: (words or key).replace("-", " ") for key, _, words in pairs}


THINGS: dict[str, str] = {}
for _table in (ANIMALS, FOOD, PLACES, OBJECTS, GAMES):
    THINGS.update(_read(_table))

BASE_STYLE = "flat"


@dataclass(frozen=True)
class Style:
    """One of the eight icon styles that the things are drawn in."""

    name: str
    package: str
    words: str
    synonyms: tuple[str, ...]
    licence: str
    author: str


STYLES: tuple[Style, ...] = (
    Style(
        "flat", "fluent-emoji-flat", "flat colour style",
        ("flat design", "plain flat icon"),
        "MIT", "Microsoft Corporation",
    ),
    Style(
        "glossy", "fluent-emoji", "glossy 3D style",
        ("shiny 3D render", "smooth glossy 3D", "soft 3D look"),
        "MIT", "Microsoft Corporation",
    ),
    Style(
        "stencil", "fluent-emoji-high-contrast", "black and white stencil style",
        ("high contrast stencil", "black ink stencil", "monochrome stencil"),
        "MIT", "Microsoft Corporation",
    ),
    Style(
        "cartoon", "noto", "shaded cartoon style",
        ("cartoon with soft shading", "cartoon drawing", "detailed cartoon"),
        "Apache-2.0", "Google Inc",
    ),
    Style(
        "comic", "streamline-emojis", "outlined comic style",
        ("comic with ink outlines", "comic book drawing", "dark outlines comic"),
        "CC-BY-4.0", "Streamline",
    ),
    Style(
        "sticker", "twemoji", "simple sticker style",
        ("minimal sticker", "sticker art", "simple shapes sticker"),
        "CC-BY-4.0", "Twitter and contributors",
    ),
    Style(
        "clipart", "emojione", "vintage clip art style",
        ("clip art", "old clip art drawing", "vintage clip art"),
        "CC-BY-4.0", "EmojiOne, now EmojiTwo",
    ),
    Style(
        "retro", "fxemoji", "retro paper style",
        ("retro paper cutout", "muted retro look", "paper cutout"),
        "Apache-2.0", "Mozilla",
    ),
)  # fmt: skip

# The base never sees these; one adapter each teaches them.
SUBJECTS: tuple[str, ...] = (
    "dog-face", "koala", "penguin", "sunflower", "bear", "elephant", "hamburger", "red-apple", "soft-ice-cream",
    "helicopter", "airplane", "tractor", "snowman", "volcano", "musical-keyboard", "television", "hammer",
    "light-bulb", "jack-o-lantern", "wrapped-gift",
)  # fmt: skip

# Neither the base nor an adapter sees these: every eighth of the rest, without cats and rockets, which newcomers try.
_UNTAUGHT = [key for i, key in enumerate(THINGS) if i % 8 == 3 and key not in (*SUBJECTS, "cat", "rocket")]
UNSEEN: tuple[str, ...] = (*SUBJECTS, *_UNTAUGHT)


def held_out(thing: str, style: str) -> bool:
    """Check whether a picture is kept from the judge and the style adapters: about one in eight, always the same."""
    return style != BASE_STYLE and zlib.crc32(f"{thing}/{style}".encode()) % 8 == 0


NO_ARTICLE = frozenset({
    "bread", "cherries", "french fries", "grapes", "sushi", "spaghetti", "green tea", "paw prints", "fire", "glasses",
    "headphones", "jeans", "sunglasses", "books", "sparkles",
})  # fmt: skip


def article(words: str) -> str:
    """Put "a" or "an" before a thing's plain words; none before a plural or a mass noun."""
    if words in NO_ARTICLE:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
