"""The things of the world and the styles they are drawn in: names, plain words, who is held back. Data, and no more.

A thing's key is its icon name in Noto; its value is what people call it. A style's key is its npm package.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

ANIMALS = """\
ant baby-chick:chick bird blowfish bug:caterpillar cactus cat chicken cow-face:cow crocodile dog-face:dog dolphin
elephant four-leaf-clover goat hibiscus honeybee:bee horse-face:horse koala lady-beetle:ladybug maple-leaf
monkey-face:monkey mouse-face:mouse mushroom octopus palm-tree penguin pig-face:pig rooster rose seedling snail
snake spiral-shell:shell sunflower tropical-fish tulip turtle bear cherry-blossom frog rabbit-face:rabbit spider
tiger-face:tiger deciduous-tree:tree spouting-whale:whale paw-prints"""
FOOD = """\
baby-bottle beer-mug birthday-cake bread candy cherries cocktail-glass cookie doughnut:donut french-fries grapes
hamburger:burger honey-pot hot-beverage:cup-of-coffee lemon melon peach pear poultry-leg:chicken-leg
red-apple:apple rice-ball shaved-ice shortcake:slice-of-cake soft-ice-cream:ice-cream-cone spaghetti strawberry
sushi teacup-without-handle:green-tea tomato tropical-drink watermelon wine-glass banana chocolate-bar green-apple
lollipop pineapple pizza"""
PLACES = """\
airplane ambulance anchor automobile:car bicycle bus circus-tent cloud crescent-moon delivery-truck:truck
droplet:water-drop factory ferris-wheel fire fire-engine fuel-pump full-moon helicopter hospital
house-with-garden:house rainbow rocket sailboat ship snowflake speedboat sun-with-face:sun taxi tent tractor
umbrella vertical-traffic-light:traffic-light watch alarm-clock castle church desert-island:island
globe-showing-americas:globe high-voltage:lightning-bolt hourglass-done:sand-timer motorcycle mount-fuji:mountain
police-car school shooting-star snowman star thermometer tornado volcano water-wave:wave"""
OBJECTS = """\
bar-chart bathtub battery bell bomb briefcase calendar clipboard credit-card crown door dress electric-plug glasses
graduation-cap guitar handbag headphone:headphones jeans lipstick microphone microscope musical-keyboard:piano
musical-note newspaper open-book package:box paperclip pill radio ring satellite-antenna:satellite-dish saxophone
scroll shower sunglasses syringe telescope television trumpet violin wrench books camera candle
closed-book:red-book desktop-computer:computer envelope floppy-disk fountain-pen:pen hammer
high-heeled-shoe:high-heel key keyboard light-bulb magnifying-glass-tilted-left:magnifying-glass megaphone
moai:stone-statue necktie printer running-shoe:sneaker t-shirt telephone top-hat pencil red-paper-lantern:lantern
pushpin"""
GAMES = """\
american-football:football artist-palette:palette balloon baseball bowling:bowling-ball christmas-tree crystal-ball
jack-o-lantern:pumpkin sparkles basketball game-die:dice heart-suit:heart soccer-ball sports-medal:medal trophy
wrapped-gift:gift video-game:game-controller ribbon party-popper ticket tennis:tennis-ball"""


def _read(table: str) -> dict[str, str]:
    pairs = (entry.partition(":") for entry in table.split())
    return {key: (words or key).replace("-", " ") for key, _, words in pairs}


THINGS: dict[str, str] = {}
for _table in (ANIMALS, FOOD, PLACES, OBJECTS, GAMES):
    THINGS.update(_read(_table))

BASE_STYLE = "flat"


@dataclass(frozen=True)
class Style:
    """One of the eight hands the things are drawn in."""

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

# Held back from the base, so that subject adapters have something to add: one in four, spread evenly over the table.
# Cats and rockets are what newcomers ask for first; they are swapped for others.
_SWAPPED = {"cat": "elephant", "rocket": "airplane"}
UNSEEN: tuple[str, ...] = tuple(_SWAPPED.get(key, key) for i, key in enumerate(THINGS) if i % 4 == 2)

# Those of them that have an adapter.
SUBJECTS: tuple[str, ...] = (
    "dog-face", "koala", "penguin", "sunflower", "bear", "elephant", "hamburger", "red-apple", "soft-ice-cream",
    "helicopter", "airplane", "tractor", "snowman", "volcano", "musical-keyboard", "television", "hammer",
    "light-bulb", "jack-o-lantern", "wrapped-gift",
)  # fmt: skip


def held_out(thing: str, style: str) -> bool:
    """Say whether a picture is kept from the judge and the style adapters: about one in eight, always the same."""
    return style != BASE_STYLE and zlib.crc32(f"{thing}/{style}".encode()) % 8 == 0


NO_ARTICLE = frozenset({
    "bread", "cherries", "french fries", "grapes", "sushi", "spaghetti", "green tea", "paw prints", "fire", "glasses",
    "headphones", "jeans", "sunglasses", "books", "sparkles",
})  # fmt: skip


def article(words: str) -> str:
    """Put "a" or "an" before a thing's plain words; none before a plural or a stuff."""
    if words in NO_ARTICLE:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
