"""A server of files on loopback, which can fail in the ways of servers on the internet."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Files:
    """What the server offers; tests change it while it runs."""

    content: dict[str, bytes] = field(default_factory=dict)  # by path
    cut_after: list[int] = field(default_factory=list)  # bytes after which the next answers end
    ranges: bool = True  # whether parts of a file can be asked for
    statuses: list[int] = field(default_factory=list)  # of the next answers, in place of a file
    redirects: dict[str, str] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)  # HTML by path
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and range of each request
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path, wanted = handler.path, handler.headers.get("Range", "")
        self.asked.append((path, wanted))
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
        elif path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            handler.end_headers()
        elif path in self.pages:
            self._send(handler, 200, self.pages[path], {"Content-Type": "text/html; charset=utf-8"})
        elif path not in self.content:
            handler.send_error(404)
        elif wanted and self.ranges:
            content, first = self.content[path], int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(content):
                handler.send_error(416)
                return
            stated = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
            self._send(handler, 206, content[first:], stated)
        else:
            self._send(handler, 200, self.content[path], {})

    def _send(self, handler: Any, status: int, content: bytes, headers: dict[str, str]) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Type": "application/octet-stream"} | headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: self.cut_after.pop(0)] if self.cut_after else content)


@contextmanager
def file_server() -> Iterator[Files]:
    """Serve files at `url`, on loopback, until the context ends."""
    files = Files()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.answer(self)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
