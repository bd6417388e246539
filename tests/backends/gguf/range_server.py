"""A web server on loopback that gives out parts of files: rightly, and in the ways servers get it wrong."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 16 << 10


@dataclass
class Served:
    """One path. ``drops`` cuts the connections, one after the other, after so many bytes of the body."""

    content: bytes = b""
    size: int = 0
    etag: str = '"v1"'
    etags: list[str] = field(default_factory=list)
    ranges: bool = True
    length: bool = True
    pace: float = 0.0
    drops: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    content_range: str = ""
    location: str = ""
    shorten: int = 0

    def __post_init__(self) -> None:
        self.size = self.size or len(self.content)

    def piece(self, start: int, end: int) -> bytes:
        """Bytes of the content, and of zeros after it."""
        given = self.content[start:end]
        return given + bytes(end - start - len(given))


class RangeServer:
    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.url = ""

    def serve(self, path: str, content: bytes, **options: object) -> str:
        self.files[path] = Served(content=content, **options)  # type: ignore[arg-type]
        return self.url + path


def _handler(server: RangeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            server.requests.append((self.path, headers))
            served = server.files.get(self.path)
            if served is None:
                self.send_error(404)
                return
            if served.location:
                self.send_response(302)
                self.send_header("Location", served.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = served.etags.pop(0) if served.etags else served.etag
            status, start, end = served.status.pop(0) if served.status else 200, 0, served.size
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
            same = headers.get("if-range", etag) == etag
            told = ""
            if status == 200 and served.ranges and asked and same:
                start = int(asked[1])
                status, end = 206, min(int(asked[2]) + 1 - served.shorten, served.size)
                told = served.content_range or f"bytes {start}-{end - 1}/{served.size}"
                if start >= served.size:
                    status, start, end, told = 416, 0, 0, f"bytes */{served.size}"
            self.send_response(status)
            if told:
                self.send_header("Content-Range", told)
            if etag:
                self.send_header("ETag", etag)
            if served.length:
                self.send_header("Content-Length", str(end - start))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.send(served, start, end)

        def send(self, served: Served, start: int, end: int) -> None:
            if served.drops:
                end = min(end, start + served.drops.pop(0))
                self.close_connection = True
            for at in range(start, end, CHUNK):
                chunk = served.piece(at, min(at + CHUNK, end))
                try:
                    self.wfile.write(chunk)
                except OSError:
                    self.close_connection = True
                    return
                server.sent += len(chunk)
                time.sleep(served.pace)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def range_server() -> Iterator[RangeServer]:
    server = RangeServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
