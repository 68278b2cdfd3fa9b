"""What is written into a picture: text for other programs, and a recipe that survives hostile names and pictures."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stylus_gen.tools.a1111 import Use, format_parameters, parse_parameters, read_a1111, split_parts
from stylus_gen.tools.diffusion.recipe import AppliedAdapter, Recipe, read_recipe, write_picture
from stylus_gen.tools.diffusion.settings import RenderSettings
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Plan, PlannerInfo, Verdict

FIELDS = [("Steps", "20"), ("Sampler", "Euler a"), ("CFG scale", "7"), ("Seed", "1"), ("Size", "16x16")]
HOSTILE = 'a:1>, Seed: 666\nNegative prompt: x\nSteps: 1, "quoted\\", <lora:evil:9>'


def make_recipe(**changes: object) -> Recipe:
    plan = Plan(
        prompt="a fox",
        final_prompt="a fox",
        family="unknown",
        masks=((),),
        verdict=Verdict(profile="personal", commercial_use=None),
        planner=PlannerInfo(name="offline"),
    )
    given = {
        "plan": plan,
        "image": 0,
        "mask": (),
        "prompt": "a fox",
        "seed": 1,
        "settings": RenderSettings(steps=20, guidance=7, width=16, height=16, scheduler="base"),
        "sampler": "Euler a",
        "base": "tiny",
        "base_fingerprint": "ab" * 32,
        "family": "unknown",
        "device": "cpu",
        "dtype": "float32",
        "versions": {"stylus-gen": "0.1.0"},
    }
    return Recipe(**(given | changes))


def applied(**changes: object) -> AppliedAdapter:
    given = {
        "adapter_id": "x",
        "name": "Ink",
        "file_name": "ink_v2.safetensors",
        "sha256": "cd" * 32,
        "autov3": "ef" * 6,
        "weight": 0.8,
        "matched": 3,
    }
    return AppliedAdapter(**(given | changes))


def save(path: Path, *, size: tuple[int, int] = (16, 16), **texts: str) -> Path:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", size).save(path, pnginfo=info)
    return path


# For other programs


def test_the_text_is_what_galleries_expect() -> None:
    recipe = make_recipe(adapters=(applied(),), negative_prompt="blurry")
    assert recipe.parameters == (
        "a fox <lora:ink_v2:0.8>\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 16x16, Model hash: ababababab, Model: tiny, "
        'Version: stylus-gen 0.1.0, Lora hashes: "ink_v2: efefefefefef"'
    )


def test_a_hostile_name_stays_in_its_field() -> None:
    recipe = make_recipe(
        adapters=(applied(name=HOSTILE, file_name=f"{HOSTILE}.safetensors"),),
        prompt=HOSTILE,
        negative_prompt=HOSTILE,
        base=HOSTILE,
    )
    assert recipe.parameters.count("\n") == 2
    fields = parse_parameters(recipe.parameters)
    assert (fields["Seed"], fields["Steps"], fields["Model"]) == ("1", "20", HOSTILE)
    assert fields["Prompt"].count("<lora:") == 1
    assert fields["Lora hashes"].count(":") == 1


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_can_add_or_change_a_field(prompt: str, negative: str, model: str, name: str) -> None:
    text = format_parameters(prompt, negative, [*FIELDS, ("Model", model)], [Use(name, 0.5, "00ff00ff00ff")])
    fields = parse_parameters(text)
    expected = {"Prompt", "Negative prompt", *(field for field, _ in FIELDS), "Model", "Lora hashes"}
    assert set(fields) == expected
    assert all(fields[field] == value for field, value in FIELDS)
    assert fields["Model"] == model
    assert fields["Prompt"].count("<lora:") == 1
    assert len(fields["Lora hashes"].split(",")) == 1 and fields["Lora hashes"].endswith(": 00ff00ff00ff")


PIECES = st.sampled_from(
    ["a fox", ", ", " ", "\n", "<lora:evil:9>", "< LyCo : x", "<lora:a", "prompt: ", "Negative prompt: ", ">", ":", ".",
     "negative prompt：", "Steps: 1, ", "\nSeed: 666", 'Lora hashes: "a: bb"', "BREAK"]
)  # fmt: skip
PROMPTS = st.lists(PIECES, max_size=8).map("".join)
HASHES = st.text("0123456789abcdef", min_size=12, max_size=12)
NAMES = st.from_regex(r"[\w.+-]([\w.+ -]{0,70}[\w.+-])?", fullmatch=True)
WEIGHTS = st.floats(-5, 5).map(lambda weight: round(weight, 4))
USES = st.lists(st.builds(Use, NAMES, WEIGHTS, HASHES), max_size=4)


@given(PROMPTS, PROMPTS, USES)
def test_what_is_written_is_read_back(prompt: str, negative: str, uses: list[Use]) -> None:
    text = format_parameters(prompt, negative, FIELDS, uses)
    read, read_uses = read_a1111(text)
    parts = split_parts(text)
    assert read_uses == uses
    assert parts.settings.startswith("Steps: 20, Sampler: Euler a")
    again = format_parameters(read, parts.negative_prompt, FIELDS, read_uses)
    assert read_a1111(again) == (read, uses)
    assert split_parts(again).negative_prompt == parts.negative_prompt


@given(
    st.lists(st.sampled_from(["a fox", "red (scarf:1.2)", "[snow]", "狐狸", "in 4 steps"]), min_size=1).map(", ".join)
)
def test_plain_words_come_back_as_they_are(words: str) -> None:
    text = format_parameters(words, words, FIELDS, [Use("ink wash", 0.8, "ab" * 6)])
    assert read_a1111(text) == (words, [Use("ink wash", 0.8, "ab" * 6)])
    assert split_parts(text).negative_prompt == words


def test_the_text_of_another_program_is_read() -> None:
    text = (
        "masterpiece, a (fox:1.2)\nin the snow <lora:ink:0.8>\nNegative prompt: blurry,\nugly\n"
        'Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 5, Size: 512x768, Lora hashes: "ink: aa, b: cc"'
    )
    fields = parse_parameters(text)
    assert fields["Prompt"] == "masterpiece, a (fox:1.2)\nin the snow <lora:ink:0.8>"
    assert fields["Negative prompt"] == "blurry,\nugly"
    assert (fields["Size"], fields["Lora hashes"]) == ("512x768", "ink: aa, b: cc")
    assert parse_parameters("a fox")["Prompt"] == "a fox"


# The recipe


@pytest.mark.parametrize("name", ["Ink", HOSTILE, "狐狸 🦊", "\0\x1b[31m", "x" * 10_000])
def test_a_recipe_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    recipe = make_recipe(adapters=(applied(name=name, file_name=name),), prompt=name)
    write_picture(Image.new("RGB", (16, 16)), recipe, tmp_path / "a.png")
    assert read_recipe(tmp_path / "a.png") == recipe
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_failed_write_leaves_the_old_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(Image.new("RGB", (16, 16)), make_recipe(), path)
    with pytest.raises(OSError):
        write_picture(Image.new("F", (16, 16)), make_recipe(seed=2), path)  # PNG has no such mode
    assert read_recipe(path).seed == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_the_key_follows_what_decides_the_pixels() -> None:
    one = make_recipe()
    assert make_recipe(versions={"torch": "3"}, warnings=("x",), base="renamed").key == one.key
    keys = {
        one.key,
        make_recipe(seed=2).key,
        make_recipe(prompt="a cat").key,
        make_recipe(dtype="float16").key,
        make_recipe(adapters=(applied(),)).key,
        make_recipe(adapters=(applied(weight=0.7),)).key,
        make_recipe(settings=one.settings.model_copy(update={"steps": 21})).key,
    }
    assert len(keys) == 7


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    for name in ("text.png", "empty.png", "photo.jpg", ""):
        with pytest.raises(BadRequest, match="cannot be read as a PNG"):
            read_recipe(tmp_path / name)
    with pytest.raises(BadRequest, match="there is no picture"):
        read_recipe(tmp_path / "absent.png")


def test_a_picture_without_a_recipe_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="holds no stylus_recipe"):
        read_recipe(save(tmp_path / "a.png", parameters="a fox"))


@pytest.mark.parametrize("change", [{"steps": None}, {"width": 10**9}, {"steps": 0}, {"height": "x" * 99}])
def test_a_recipe_with_wild_settings_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    content = json.loads(make_recipe().model_dump_json())
    content["settings"] |= change
    with pytest.raises(BadRequest, match="cannot be used: "):
        read_recipe(save(tmp_path / "a.png", stylus_recipe=json.dumps(content)))


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '{"schema_version": 0}', "null", '{"extra": 1}'])
def test_a_recipe_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadRequest, match="cannot be used"):
        read_recipe(save(tmp_path / "a.png", stylus_recipe=text))


def test_an_endless_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="longer than"):
        read_recipe(save(tmp_path / "a.png", stylus_recipe=" " * (4 * 2**20 + 1)))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [5000, 10_000, 100_000])
def test_a_picture_that_would_fill_the_memory_is_refused_undecoded(tmp_path: Path, side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(png((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")))
    with pytest.raises(BadRequest):
        read_recipe(path)


def test_a_compressed_text_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    bomb = b"stylus_recipe\0\0" + zlib.compress(b" " * 200_000_000, 9)
    path = tmp_path / "bomb.png"
    path.write_bytes(png((b"IHDR", header), (b"zTXt", bomb), (b"IEND", b"")))
    with pytest.raises(BadRequest):
        read_recipe(path)
