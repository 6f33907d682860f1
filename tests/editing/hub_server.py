"""A server with the file protocol of the Hub, which can misbehave."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from threading import Thread
from time import sleep

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves `repos` {name: folder}.

    With `cut`, the line breaks after so many bytes of a file; with `slow`, each file takes so many seconds;
    with `drip`, it comes in ten pieces with so many seconds between; with `wrong`, a byte of what is sent is
    another than its hash says.
    """

    def __init__(self, repos: dict[str, Path]) -> None:
        self.repos, self.sent = repos, []
        self.cut: int | None = None
        self.slow, self.drip, self.wrong = 0.0, 0.0, False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path = request.path.split("?")[0]
        for name, folder in self.repos.items():
            files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
            if path.startswith(f"/api/models/{name}/tree/"):
                listed = [
                    {"type": "file", "path": f, "size": (folder / f).stat().st_size, "oid": sha(folder / f)}
                    for f in files
                ]
                return self.json(request, listed, body)
            if path.startswith(f"/api/models/{name}"):
                siblings = [{"rfilename": f, "size": (folder / f).stat().st_size} for f in files]
                return self.json(
                    request, {"id": name, "sha": REVISION, "siblings": siblings, "private": False}, body
                )
            prefix = f"/{name}/resolve/"
            if path.startswith(prefix) and (file := folder / path[len(prefix) :].split("/", 1)[1]).is_file():
                return self.file(request, file, body)
        request.send_response(404)
        request.send_header("X-Error-Code", "RepoNotFound")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def json(self, request: BaseHTTPRequestHandler, data: object, body: bool) -> None:
        text = json.dumps(data).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        if body:
            request.wfile.write(text)

    def file(self, request: BaseHTTPRequestHandler, file: Path, body: bool) -> None:
        data = file.read_bytes()
        start = int(request.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0] or 0)
        request.send_response(206 if start else 200)
        request.send_header("ETag", f'"{sha(file)}"')
        request.send_header("X-Repo-Commit", REVISION)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(data) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        if not body:
            return
        rest = data[start:]
        if self.wrong:
            rest = bytes([rest[0] ^ 1]) + rest[1:]
        sleep(self.slow)
        self.sent.append((file.name, start))
        if self.cut is not None and len(rest) > self.cut:
            request.wfile.write(rest[: self.cut])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(SHUT_RDWR)
            return
        try:
            for first in range(0, len(rest), piece := len(rest) // 10 + 1):
                request.wfile.write(rest[first : first + piece])
                sleep(self.drip)
        except OSError:  # whoever asked has gone
            request.close_connection = True

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def sha(file: Path) -> str:
    """As the hub names a file: SHA-256 of a large one, git's SHA-1 of a small one."""
    data = file.read_bytes()
    if file.suffix == ".json":
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return hashlib.sha256(data).hexdigest()
