"""A web server on the loopback that misbehaves as told, for the download tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """files: path -> content. faults: path -> what to do wrong, one per request: "drop", "503", "whole" (ignore Range).

    asked: (path, Range header or None) of every request. tags: path -> ETag.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.tags: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def ranges(self, path: str) -> list[str | None]:
        return [header for where, header in self.asked if where == path]


@contextmanager
def serve() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            header = self.headers.get("Range")
            web.asked.append((self.path, header))
            fault = web.faults[self.path].pop(0) if web.faults.get(self.path) else ""
            content = web.files.get(self.path)
            if content is None or fault == "503":
                self.send_error(404 if content is None else 503)
                return
            tag = web.tags.get(self.path, '"1"')
            start = 0
            if header and fault != "whole" and self.headers.get("If-Range") == tag:
                start = int(header.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if tag:
                self.send_header("ETag", tag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            rest = content[start:]
            self.wfile.write(rest[: len(rest) // 2] if fault == "drop" else rest)
            if fault == "drop":
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
