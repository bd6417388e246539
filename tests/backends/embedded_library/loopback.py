"""A web server on loopback that sends files as a real one does, or as a bad one does, and counts what it sent."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Served:
    """One path. Each GET takes the next of ``status`` and of ``drops``: the connection is cut after so many bytes."""

    content: bytes = b""
    etag: str = '"v1"'
    ranges: bool = True
    if_range: bool = True
    drops: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    pace: float = 0.0
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)


class Loopback:
    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.sent: Counter[str] = Counter()
        self.url = ""

    def serve(self, path: str, content: bytes, **options: object) -> str:
        self.files[path] = Served(content=content, **options)  # type: ignore[arg-type]
        return self.url + path

    def asked(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        return [headers for verb, asked, headers in self.requests if (verb, asked) == (method, path)]


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            headers = {key.lower(): value for key, value in self.headers.items()}
            loopback.requests.append((self.command, path, headers))
            served = loopback.files.get(path)
            if served is None:
                self.send_error(404)
                return
            status = served.status.pop(0) if with_body and served.status else 200
            body, extra = served.content, {}
            asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
            if (
                status == 200
                and asked
                and served.ranges
                and (not served.if_range or headers.get("if-range", served.etag) == served.etag)
            ):
                start = int(asked[1])
                if start >= len(body):
                    status, extra, body = 416, {"Content-Range": f"bytes */{len(body)}"}, b""
                else:
                    extra = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
                    status, body = 206, body[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", served.content_type)
            if served.etag:
                self.send_header("ETag", served.etag)
            for key, value in (extra | served.headers).items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.send(path, served, body)

        def send(self, path: str, served: Served, body: bytes) -> None:
            drop = served.drops.pop(0) if served.drops else None
            for at in range(0, len(body[:drop]), 65536):
                chunk = body[:drop][at : at + 65536]
                try:
                    self.wfile.write(chunk)
                except OSError:
                    self.close_connection = True
                    return
                loopback.sent[path] += len(chunk)
                time.sleep(served.pace)
            if drop is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def loopback_server() -> Iterator[Loopback]:
    loopback = Loopback()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(loopback))
    server.daemon_threads = True
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
