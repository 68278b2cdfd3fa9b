from __future__ import annotations

import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.family import sniff_family
from stylus_gen.tools.lora.header import MAX_HEADER, Header, TensorInfo, read_header

KOHYA_KEY = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def pack(header: Any, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(start: int = 0, end: int = 8, **more: Any) -> dict[str, Any]:
    return {"dtype": "F16", "shape": [2, 2], "data_offsets": [start, end], **more}


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    return path


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, pack({"__metadata__": {"ss_output_name": "fox"}, "x.lora_A.weight": entry()}, bytes(8)))
    header = read_header(path)
    assert header.metadata == {"ss_output_name": "fox"}
    assert header.tensors == {"x.lora_A.weight": TensorInfo("F16", (2, 2))}
    assert header.size == path.stat().st_size


def test_a_file_cut_in_half_is_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = pack({"x": entry(0, 4096, shape=[64, 32])}, bytes(4096))
    with pytest.raises(AdapterRejected, match=r"'a.safetensors' is cut short: .* download it again") as caught:
        read_header(write(tmp_path, whole[: len(whole) // 2]))
    assert "\n" not in caught.value.message
    assert caught.value.facts["code"] == "broken_file"


def test_a_header_that_claims_ten_gigabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    with pytest.raises(AdapterRejected, match="claims a header of 10,000,000,000 bytes"):
        read_header(write(tmp_path, struct.pack("<Q", 10_000_000_000) + b"{}"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty or cut short"),
        (b"{}", "empty or cut short"),
        (pack(b"{}" * 5)[:-5], "cut short: its header needs"),
        (pack(b"<html>not found</html>"), "not sound JSON"),
        (pack(b"\xff\xfe{}      "), "not sound JSON"),
        (pack(b"[" * 100_000), "not sound JSON"),
        (pack(b'{"x": {"dtype": "F16", "shape": [NaN]}}'), "not sound JSON"),
        (pack(b'{"x": {"dtype": "F16", "dtype": "F16"}}'), "a key is there twice"),
        (pack(b'{"x": %s, "x": %s}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)), "'x' is there twice"),
        (pack(b'{"__metadata__": {"a": "", "a": ""}}'), "'a' is there twice"),
        (pack(b'{"__metadata__": {}, "__metadata__": {}}'), "'__metadata__' is there twice"),
        (pack(b'{"__metadata__": {"a": "x"'), "it ends too early"),
        (pack(b'{"__metadata__": {"a": "x",}}'), "expected a string"),
        (pack({"x": entry()}, bytes(8)).replace(b"}}", b"}]"), "expected ','"),
        (pack(json.dumps({"x": entry()}).encode() + b"{}", bytes(8)), "something follows its end"),
        (pack([1, 2, 3, 4]), "not sound JSON"),
        (pack({"__metadata__": {"a": "b"}}), "lists 0 tensors"),
        (pack({"__metadata__": {"a": 1}, "x": entry()}, bytes(8)), "metadata that are not strings"),
        (pack({"__metadata__": {"a": None}, "x": entry()}, bytes(8)), "metadata that are not strings"),
        (pack({"__metadata__": {str(n): "" for n in range(10_001)}}), "metadata that are more than 10,000"),
        (pack({"__metadata__": [], "x": entry()}, bytes(8)), "metadata that are no JSON object"),
        (pack({f"t{n}": entry(0, 0, shape=[0]) for n in range(50_001)}), "lists 50,001 tensors"),
        (pack({"../../etc/x": entry()}, bytes(8)), "expected letters, digits"),
        (pack({"x\n": entry()}, bytes(8)), "expected letters, digits"),
        (pack({"x": entry(dtype="PICKLE")}, bytes(8)), "expected one of F64"),
        (pack({"x": entry(dtype=["F16"])}, bytes(8)), "not safetensors'"),
        (pack({"x": entry(shape=[2, "2"])}, bytes(8)), "not safetensors'"),
        (pack({"x": entry(shape=[2, True, 2])}, bytes(8)), "not safetensors'"),
        (pack({"x": 7}, bytes(8)), "not safetensors'"),
        (pack({"x": entry(extra=1)}, bytes(8)), "not safetensors'"),
        (pack({"x": entry(shape=[-2, -2])}, bytes(8)), "impossible shape"),
        (pack({"x": entry(0, 0, shape=[0, 2**40])}), "impossible shape"),
        (pack({"x": entry(0, 6)}, bytes(8)), "not its size"),
        (pack({"x": entry(-8, 0)}, bytes(8)), "not its size"),
        (pack({"x": entry(), "y": entry(4, 12)}, bytes(12)), "gap or an overlap"),
        (pack({"x": entry(), "y": entry(16, 24)}, bytes(24)), "gap or an overlap"),
        (pack({"x": entry()}, bytes(9)), "1 bytes that belong to no tensor"),
    ],
)
def test_what_is_not_sound_is_refused_and_told_why(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(AdapterRejected, match=why):
        read_header(write(tmp_path, content))


@pytest.mark.parametrize(
    "broken",
    [
        b'{"x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [-0, 8]}}',
        b'{"x": {"dtype": "F16", "shape": [2, -0, 2], "data_offsets": [0, 0]}}',
        b'{"x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0.0, 8]}}',
        b'{"x": {"dtype": "F16", "shape": [2e0, 2], "data_offsets": [0, 8]}}',
        b'{"__metadata__": {"a": "\\ud800"}, "x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}',
        b'{"__metadata__": {"\\udc00": "a"}, "x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}',
        b'{"\\ud83d": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}',
        b'\xef\xbb\xbf{"x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}',
        b'{"x": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}\x0c',
    ],
)
def test_what_the_library_refuses_is_refused_at_once(tmp_path: Path, broken: bytes) -> None:
    content = pack(broken, bytes(8))
    with pytest.raises(SafetensorError):
        load(content)
    with pytest.raises(AdapterRejected):
        read_header(write(tmp_path, content))


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"__metadata__": None, "x": entry()}, 8),
        ({"__metadata__": {"modelspec.thumbnail": "data:image/jpeg;base64," + "A" * 1_500_000}, "x": entry()}, 8),
        ({"__metadata__": {f"image {n}": "A" * 2_000_000 for n in range(7)}, "x": entry()}, 8),
        ({"__metadata__": {"a": "狐😀\n\t"}, "x": entry()}, 8),
        ({f"lora_unet_experts_{n}.lora_down.weight": entry(0, 0, shape=[0]) for n in range(40_000)}, 0),
        ({"lora_te_token_embedding.lora_down.weight": entry(0, 2 * 151_936, shape=[1, 151_936])}, 2 * 151_936),
        ({"x": entry(0, 4, dtype="U8")}, 4),
        ({"x": entry(0, 4, dtype="BOOL")}, 4),
        ({"<cat-toy>": entry()}, 8),
        ({"a name, with signs: [0]": entry()}, 8),
    ],
)
def test_what_the_library_opens_is_read(tmp_path: Path, header: dict[str, Any], data: int) -> None:
    content = pack(json.dumps(header, ensure_ascii=False, indent=1).encode(), bytes(data))
    assert set(read_header(write(tmp_path, content)).tensors) == set(load(content))


def test_a_value_that_is_longer_than_anything_that_is_read_is_left_empty(tmp_path: Path) -> None:
    header = {"__metadata__": {"a": "x" * 2**21, "b": "x" * 2**21 + "x"}, "x": entry()}
    metadata = read_header(write(tmp_path, pack(header, bytes(8)))).metadata
    assert {key: len(value) for key, value in metadata.items()} == {"a": 2**21, "b": 0}


@pytest.mark.parametrize("filler", [b"[],", b'"a":"",', b'"a":{},', b"\\u4e00", b"\xf0\x9f\x98\x80", b"9", b"\\n"])
@pytest.mark.parametrize("around", [b"{%s", b'{"__metadata__":{%s', b'{"__metadata__":{"a":"\xf0\x9f\x98\x80%s"}}'])
def test_no_header_takes_more_memory_than_the_bound(tmp_path: Path, around: bytes, filler: bytes) -> None:
    path = write(tmp_path, pack(around % (filler * ((MAX_HEADER - 100) // len(filler)))))
    tracemalloc.start()
    try:
        with pytest.raises(AdapterRejected):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


def test_a_file_of_five_gigabytes_is_no_adapter(tmp_path: Path) -> None:
    path = write(tmp_path, b"")
    os.truncate(path, 5 * 2**30)
    with pytest.raises(AdapterRejected, match="at most 4 GiB"):
        read_header(path)


def test_links_pipes_and_folders_are_not_opened(tmp_path: Path) -> None:
    target = write(tmp_path, pack({"x": entry()}, bytes(8)))
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "absent"):
        with pytest.raises(AdapterRejected):
            read_header(tmp_path / name)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=400) | st.binary(min_size=2, max_size=300).map(lambda raw: pack(raw)))
def test_no_bytes_do_anything_but_pass_or_be_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(AdapterRejected):
        read_header(write(tmp_path, content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SOUND = st.sampled_from(["F32", "I64", [4], [1, 4], [0, 8], [0, 16]])
FIELD = st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "x"])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    field=FIELD, value=JSON | st.sampled_from(["F32", "I64", [4], [1, 4], [0, 8], [0, 16]]), tail=st.binary(max_size=9)
)
def test_whatever_passes_the_gate_is_read_by_the_library_too(
    tmp_path: Path, field: str, value: Any, tail: bytes
) -> None:
    header: dict[str, Any] = {"x": entry()}
    (header if field in ("x", "__metadata__") else header["x"])[field] = value
    content = pack(header, tail)
    try:
        read = read_header(write(tmp_path, content))
    except AdapterRejected:
        return
    assert {name: t.shape for name, t in load(content).items()} == {name: t.shape for name, t in read.tensors.items()}


def header_of(metadata: dict[str, str] | None = None, **shapes: tuple[int, ...]) -> Header:
    tensors = {name.replace("__", "."): TensorInfo("F16", shape) for name, shape in shapes.items()}
    return Header(metadata=metadata or {}, tensors=tensors, size=0)


UNET = "down_blocks.1.attentions.0.transformer_blocks.0"


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        ({KOHYA_KEY: (8, 768)}, "sd15"),
        ({KOHYA_KEY: (8, 1024)}, "sd2"),
        ({KOHYA_KEY: (8, 2048)}, "sdxl"),
        ({f"unet.{UNET}.attn2.to_v.lora_A.weight": (8, 768)}, "sd15"),
        ({f"unet.{UNET}.attn2.processor.to_k_lora.down.weight": (8, 768)}, "sd15"),
        ({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (8, 2048)}, "sdxl"),
        ({"lora_unet_output_blocks_1_1_transformer_blocks_9_attn1_to_q.lora_down.weight": (8, 1280)}, "sdxl"),
        ({f"lora_unet_{UNET.replace('.', '_')}_attn2_to_k.hada_w1_b": (8, 768)}, "sd15"),
        (
            {
                f"lora_unet_{UNET.replace('.', '_')}_attn2_to_k.lokr_w1": (8, 8),
                f"lora_unet_{UNET.replace('.', '_')}_attn2_to_k.lokr_w2_a": (80, 4),
                f"lora_unet_{UNET.replace('.', '_')}_attn2_to_k.lokr_w2_b": (4, 96),
            },
            "sd15",
        ),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (8, 768)}, "sd15"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (16, 3072)}, "flux"),
        ({"transformer.single_transformer_blocks.3.attn.to_q.lora_A.weight": (16, 3072)}, "flux"),
        ({"transformer.single_transformer_blocks.3.attn.to_q.lora_A.weight": (16, 6144)}, "flux2"),
        ({"transformer.transformer_blocks.7.attn.to_q.lora_A.weight": (16, 3072)}, "qwen"),
        ({"transformer.transformer_blocks.7.attn.to_q.lora_A.weight": (16, 1536)}, "sd3"),
        ({"diffusion_model.blocks.0.cross_attn.k.lora_A.weight": (16, 5120)}, "wan"),
        ({"diffusion_model.layers.0.attention.to_q.lora_A.weight": (16, 3840)}, "zimage"),
        ({f"unet.{UNET}.attn2.to_k.lora_A.weight": (4, 64)}, "unknown"),
        ({"nonsense": (4, 768)}, "unknown"),
    ],
)
def test_the_family_is_told_by_names_and_shapes(tensors: dict[str, tuple[int, ...]], family: str) -> None:
    told, reason = sniff_family(header_of(**tensors))
    assert told == family
    assert reason


def test_metadata_tell_siblings_of_one_shape_apart() -> None:
    told, reason = sniff_family(
        header_of({"ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}, **{KOHYA_KEY: (8, 2048)})
    )
    assert told == "pony"
    assert "ss_sd_model_name" in reason


def test_metadata_that_contradict_the_tensors_are_not_believed() -> None:
    told, _ = sniff_family(header_of({"ss_base_model_version": "sdxl_base_v1-0"}, **{KOHYA_KEY: (8, 768)}))
    assert told == "sd15"


def test_metadata_decide_where_tensors_say_nothing() -> None:
    told, _ = sniff_family(header_of({"modelspec.architecture": "stylus-world/lora"}, **{KOHYA_KEY: (4, 64)}))
    assert told == "world"
