"""Addresses of model servers: no login is shown or kept, whatever the server answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.model.modes import Modes
from stylus_gen.doctor import Diagnosis, _model
from stylus_gen.settings import Settings
from stylus_gen.tools.address import read_address
from stylus_gen.tools.errors import BadRequest


class Lists(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.answer)))
        self.end_headers()
        self.wfile.write(server.answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    server.daemon_threads = True
    server.seen, server.answer = [], b'{"data": [{"id": "qwen"}]}'
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def examine(url: str) -> Diagnosis:
    return _model(Settings(model="openai:x", model_base_url=url))


def test_the_doctor_logs_in_and_does_not_show_with_what(server: Any) -> None:
    found = examine(f"http://me:s3c%40ret@127.0.0.1:{server.server_port}/v1?key=s3cret")
    assert found.state == "ok" and "qwen" in found.detail
    assert "s3c" not in str(found) and "me:" not in str(found)
    assert server.seen == [("/v1/models?key=s3cret", "Basic bWU6czNjQHJldA==")]


@pytest.mark.parametrize(
    "answer",
    ["[]", "[1]", "null", '"x"', "1", '{"data": 3}', '{"data": {"a": 1}}', "{}", "", "<html>", "[" * 100_000, "\xff"],
    ids=range(12),
)
def test_an_answer_that_lists_no_models_gets_a_sentence(server: Any, answer: str) -> None:
    server.answer = answer.encode("latin-1")
    found = examine(f"http://127.0.0.1:{server.server_port}/v1")
    assert found.state == "missing" and "not a list of models" in found.detail


def test_models_without_names_and_names_of_strangers_are_shown_short(server: Any) -> None:
    models = [{"id": "a\x1b[31m" + "x" * 500}, 3, {}, *({"id": str(i)} for i in range(100))]
    server.answer = json.dumps({"data": models}).encode()
    found = examine(f"http://127.0.0.1:{server.server_port}/v1")
    assert found.state == "ok" and "\x1b" not in found.detail and len(found.detail) < 500


@pytest.mark.parametrize("login", ["me:s3c@ret", "me:s3c/ret", "me:s3c?ret", "me:s3c#ret", "s3c/r@et"])
def test_an_address_that_can_be_read_in_two_ways_is_refused_unseen(tmp_path: Path, login: str) -> None:
    url = f"http://{login}@127.0.0.1:9/v1"
    found = examine(url)
    assert found.state == "missing" and "s3c" not in str(found) and "%40" in found.to_do
    with pytest.raises(BadRequest) as caught:
        open_planner("openai:x", base_url=url, modes=Modes(tmp_path / "models.json"))
    assert "s3c" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://u:p@host:80/v1/", "http://host:80/v1"),
        ("https://host", "https://host"),
        ("http://[::1]:8080/v1?a=b", "http://[::1]:8080/v1"),
    ],
)
def test_the_public_part_has_no_login(url: str, public: str) -> None:
    assert read_address(url).public == public


def test_a_login_that_was_kept_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text('{"openai:x http://me:s3cret@host/v1": "json", "openai:x http://host/v1": "schema"}')
    assert dict(Modes(path)) == {"openai:x http://host/v1": "schema"}
    assert "s3cret" not in path.read_text()


@pytest.mark.parametrize("text", ["[", "[" * 100_000, "3", '{"a": {"b": []}}', "\x00"])
def test_a_damaged_file_of_modes_is_found_out_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.json").write_text(text)
    modes = Modes(tmp_path / "models.json")
    assert dict(modes) == {}
    modes["x"] = "json"
    assert dict(Modes(tmp_path / "models.json")) == {"x": "json"}
