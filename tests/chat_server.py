"""A small OpenAI-compatible server on this machine: answers from a script, and keeps what was really sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Turn = Callable[["Handler", Body], None]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.requests.append(body)
        server.script[min(len(server.requests), len(server.script)) - 1](self, body)

    def send(self, status: int, payload: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: object) -> None:
        pass


def message(content: str | None = None, calls: Sequence[tuple[str, Any]] = ()) -> Turn:
    """Answer with text and tool calls; arguments may be a dict, or text to be sent as it is."""

    def turn(handler: Handler, body: Body) -> None:
        texts = [(name, args if isinstance(args, str) else json.dumps(args)) for name, args in calls]
        tools = [
            {"id": f"t{i}", "type": "function", "function": {"name": name, "arguments": text}}
            for i, (name, text) in enumerate(texts)
        ]
        reply = {"role": "assistant", "content": content} | ({"tool_calls": tools} if tools else {})
        sent = len(json.dumps(body)) // 4
        usage = {"prompt_tokens": sent, "completion_tokens": 50, "total_tokens": sent + 50}
        choices = [{"index": 0, "message": reply, "finish_reason": "stop"}]
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "stub"}
        answer |= {"choices": choices, "usage": usage}
        handler.send(200, json.dumps(answer).encode())

    return turn


def status(code: int) -> Turn:
    return lambda handler, body: handler.send(code, b'{"error": {"message": "no"}}')


def half(handler: Handler, body: Body) -> None:
    handler.send(200, b'{"id": "1", "choices": [{"ind', length=5000)


@contextmanager
def chat_server(*script: Turn) -> Iterator[tuple[str, list[Body]]]:
    """Serve a script, its last turn for ever; yield the base URL and the list of request bodies."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.script, server.requests = script, []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server.requests
    finally:
        server.shutdown()
        server.server_close()
