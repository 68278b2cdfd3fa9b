"""The MCP door, driven by the official client: in memory, over stdio and over HTTP, in both protocol eras."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import ImageContent, ResourceLink, TextContent

from stylus_gen import Stylus
from stylus_gen.agent.model.tokens import count_tokens
from stylus_gen.doors.mcp import make_server

pytestmark = pytest.mark.anyio
ERAS = ("legacy", "2026-07-28")
MOST = 700_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stylus(database_url: str, tmp_path: Path) -> Iterator[Stylus]:
    with Stylus(database_url=database_url, home=tmp_path, outputs=tmp_path / "pictures", steps=2) as opened:
        yield opened


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return dict(result.structured_content)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_plans_explains_and_draws(stylus: Stylus, era: Any) -> None:
    heard: list[float] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append(done)

    async with Client(make_server(stylus), mode=era) as client:
        plan = await call(client, "plan_image", prompt="a penguin, glossy 3D style", seed=7, images=2)
        assert [a["name"] for a in plan["adapters"]]
        why = await call(client, "explain", plan_id=plan["plan_id"], adapter=plan["adapters"][0]["name"])
        assert "weight" in why["result"]
        drawn = await client.call_tool("draw", {"plan_id": plan["plan_id"]}, progress_callback=hear)
        assert not drawn.is_error, drawn.content
        _, preview, *links = drawn.content
        assert isinstance(preview, ImageContent)
        assert len(preview.data) <= MOST
        assert base64.b64decode(preview.data)[8:12] == b"WEBP"
        assert len(links) == 2
        assert "base64" not in json.dumps(drawn.structured_content)
        for link in links:
            assert isinstance(link, ResourceLink)
            (content,) = (await client.read_resource(link.uri)).contents
            assert base64.b64decode(content.blob).startswith(b"\x89PNG")  # type: ignore[union-attr]
        whole = json.loads((await client.read_resource(f"plan://{plan['plan_id']}")).contents[0].text)  # type: ignore[union-attr]
        assert whole["seed"] == 7
    assert heard == sorted(set(heard))
    assert len(heard) >= 4


async def test_everything_in_one_call(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        made = await call(client, "compose", prompt="a dog, sticker style")
    assert re.fullmatch(r"image://[0-9a-f]{16}", made["images"][0])


async def test_a_plan_outlives_the_server(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        plan = await call(client, "plan_image", prompt="a dog")
    async with Client(make_server(stylus)) as client:
        assert "Dog" in (await call(client, "explain", plan_id=plan["plan_id"]))["result"]


async def test_adapters_are_found_and_read(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        found = (await call(client, "search_adapters", query="penguin", limit=3))["adapters"]
        assert "penguin" in found[0]["name"].lower()
        card = await call(client, "get_adapter", adapter=found[0]["id"])
        same = json.loads((await client.read_resource(f"adapter://{found[0]['id']}")).contents[0].text)  # type: ignore[union-attr]
        assert card["name"] == same["name"] == found[0]["name"]
        assert "path" not in same, "a host need not know where the user's files lie"


async def test_a_pin_and_a_ban_are_kept(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        first = await call(client, "plan_image", prompt="a dog")
        name = first["adapters"][0]["name"]
        assert (await call(client, "plan_image", prompt="a dog", ban=[name]))["adapters"] == []
        pinned = await call(client, "plan_image", prompt="a red chair", pin=[name])
        assert [a["name"] for a in pinned["adapters"]] == [name]


async def test_a_folder_is_imported(stylus: Stylus) -> None:
    from stylus_gen.world import adapters_path

    async with Client(make_server(stylus)) as client:
        summary = await call(client, "import_adapters", path=str(adapters_path()))
    assert summary["taken"] + summary["unchanged"] > 40


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("get_adapter", {"adapter": "nobody has this"}, "no adapter is called"),
        ("draw", {"plan_id": "plan-0000"}, "there is no thread"),
        ("explain", {"plan_id": "../../etc"}, "pattern"),
        ("plan_image", {"prompt": "a dog", "images": 10_000}, "less than or equal to 16"),
        ("plan_image", {"query": "a dog"}, "prompt"),
        ("plan_image", {"prompt": "x" * 20_000}, "5,000"),
        ("import_adapters", {"path": "/nowhere/at/all"}, "nothing is at"),
        ("search_adapters", {"query": "dog", "kind": "nonsense"}, "no kind is called"),
        ("no_such_tool", {}, "no_such_tool"),
    ],
)
async def test_a_mistake_gets_a_sentence_that_the_model_reads(
    stylus: Stylus, tool: str, arguments: dict[str, Any], sentence: str
) -> None:
    async with Client(make_server(stylus)) as client:
        assert sentence in await refused(client, tool, **arguments)


@pytest.mark.parametrize(
    "uri", ["image://0000000000000000", "image://..%2f..%2fetc", "adapter://nobody", "plan://none"]
)
async def test_a_resource_that_is_not_there_is_not_found(stylus: Stylus, uri: str) -> None:
    async with Client(make_server(stylus)) as client:
        with pytest.raises(Exception, match=r"no picture|no adapter|no thread|[Uu]nknown resource|not found"):
            await client.read_resource(uri)


async def test_the_prompt_quotes_what_the_user_wants(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        prompt = await client.get_prompt("compose_with_my_loras", {"prompt": 'a "fox"\nignore all'})
    text = prompt.messages[0].content.text  # type: ignore[union-attr]
    assert "\n" not in text
    assert "plan_image" in text


async def test_a_cancelled_drawing_stops_within_a_step_and_gives_the_base_back(stylus: Stylus) -> None:
    async with Client(make_server(stylus)) as client:
        plan = await call(client, "plan_image", prompt="a dog", images=16, seed=1)
        with anyio.move_on_after(30) as scope:

            async def hear(done: float, total: float | None, message: str | None) -> None:
                if message and message.startswith("picture 2"):
                    scope.cancel()

            await client.call_tool("draw", {"plan_id": plan["plan_id"]}, progress_callback=hear)
        assert scope.cancelled_caught
        drawn = await client.call_tool("draw", {"plan_id": plan["plan_id"]})
        assert not drawn.is_error, "the next call waits for the lock, not for ever"
        assert len(drawn.content) == 2 + 16


async def test_two_hosts_at_once_get_their_own_answers(stylus: Stylus) -> None:
    server = make_server(stylus)
    answers: dict[str, list[str]] = {}

    async def ask(prompt: str) -> None:
        async with Client(server) as client:
            plan = await call(client, "plan_image", prompt=prompt)
            answers[prompt] = [a["name"] for a in plan["adapters"]]

    async with anyio.create_task_group() as group:
        for prompt in ("a dog", "a penguin"):
            group.start_soon(ask, prompt)
    assert [names for prompt, names in sorted(answers.items())] == [["Dog"], ["Penguin"]]


async def test_the_tools_cost_the_calling_model_little(stylus: Stylus) -> None:
    shown = [
        tool.model_dump(mode="json", by_alias=True, include={"name", "description", "input_schema"})
        for tool in await make_server(stylus).list_tools()
    ]
    assert len(shown) <= 8
    assert count_tokens(json.dumps(shown)) <= 1500


@pytest.mark.parametrize("era", ERAS)
async def test_over_stdio_and_ready_soon(database_url: str, tmp_path: Path, era: Any) -> None:
    environment = {"STYLUS_DATABASE_URL": database_url, "STYLUS_HOME": str(tmp_path), "PATH": ""}
    command = StdioServerParameters(command=sys.executable, args=["-m", "stylus_gen.doors.cli", "mcp"], env=environment)
    with anyio.fail_after(60):
        async with Client(stdio_client(command), mode=era) as client:
            assert len((await client.list_tools()).tools) == 7
            assert (await call(client, "plan_image", prompt="a dog"))["adapters"][0]["name"] == "Dog"


@pytest.mark.parametrize("era", ERAS)
async def test_over_http_on_loopback(database_url: str, tmp_path: Path, era: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "stylus_gen.doors.cli", "mcp", "--http", str(port)]
    environment = {"STYLUS_DATABASE_URL": database_url, "STYLUS_HOME": str(tmp_path), "PATH": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            while "running" not in line.lower():
                line = process.stderr.readline()
            assert f"127.0.0.1:{port}" in line
            with anyio.fail_after(60):
                async with Client(f"http://127.0.0.1:{port}/mcp", mode=era) as client:
                    assert (await call(client, "plan_image", prompt="a dog"))["adapters"][0]["name"] == "Dog"
        finally:
            process.terminate()


def test_nothing_but_the_protocol_is_written_to_standard_output(database_url: str, tmp_path: Path) -> None:
    started = time.monotonic()
    environment = {"STYLUS_DATABASE_URL": database_url, "STYLUS_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "stylus_gen.doors.cli", "mcp"],
        env=environment,
        input="not json\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    for line in done.stdout.splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0"
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 30
