"""A bad network: a proxy on loopback before a real server, which can lose, refuse or hold requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Given a request's number (from 1) and path, what becomes of it: "" passes it on, "lost" carries it out
# and drops the answer, "reset" drops the request, "hang" holds it, and "503" is answered so.
Trouble = Callable[[int, str], str]


class Proxy:
    """``address`` stands for the server's; ``trouble`` can be changed at any time."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.trouble: Trouble = lambda number, path: ""
        self.requests: list[str] = []
        self.address = ""


class Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.proxy.requests.append(self.path)
        fate = self.proxy.trouble(len(self.proxy.requests), self.path)
        self.close_connection = True
        if fate == "hang":
            time.sleep(15)
        if fate in ("reset", "hang"):
            return
        if fate.isdigit():
            self.reply(int(fate), b"not now", {})
            return
        kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if self.headers[name]}
        there = requests.request(
            self.command, self.proxy.server + self.path, data=body, headers=kept, timeout=30
        )
        if fate != "lost":
            self.reply(
                there.status_code, there.content, {"Content-Type": there.headers.get("Content-Type", "")}
            )

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 the base class's names

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 the base class's name
        """Says nothing."""


@contextmanager
def proxy_before(server: str) -> Iterator[Proxy]:
    proxy = Proxy(server)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), type("ProxyHandler", (Handler,), {"proxy": proxy}))
    listener.daemon_threads = True
    proxy.address = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
