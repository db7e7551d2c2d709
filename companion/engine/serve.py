"""Show a built book, to this computer or to a room.

    python -m companion.engine.serve FOLDER --host 0.0.0.0 --port 8000

For a room it says which addresses others can open. Files of Python for the browser, which never
change under their names, may be kept by browsers for a day; pages are asked for each time.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import socket
import sys
from pathlib import Path

#: What is kept by browsers: Pyodide and its wheels, 27 MB.
KEPT = (".wasm", ".whl", ".zip", ".mjs")
EVERYBODY = "0.0.0.0"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, with how long they may be kept, and without a line for each request."""

    protocol_version = "HTTP/1.1"
    timeout = 15  # seconds after which an idle connection ends
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Say whether a browser may keep what comes."""
        path = self.path.partition("?")[0]
        fixed = path.startswith("/lite/") and path.endswith(KEPT)
        self.send_header("Cache-Control", "max-age=86400" if fixed else "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server that a whole room can call at one moment."""

    request_queue_size = 128


def addresses(host: str, port: int) -> list[str]:
    """Where the book can be opened, the room's address first."""
    if host != EVERYBODY:
        return [f"http://{host}:{port}/"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing: it asks which way packets would go
            own = [asked.getsockname()[0]]
        except OSError:
            own = []
    return [f"http://{name}:{port}/" for name in [*own, socket.gethostname()]]


def allow_connections(wanted: int = 4096) -> None:
    """Let a room's browsers connect at once; macOS allows a process 256 files and connections."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main(words: list[str] | None = None) -> int:
    """Serve until it is stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(words)
    handler = functools.partial(Handler, directory=str(given.folder))
    try:
        server = Server((given.host, given.port), handler)
    except OSError as error:
        why = error.strerror or error
        print(f"{given.host}:{given.port} cannot be used ({why}): try PORT=8001.", file=sys.stderr)
        return 1
    allow_connections()
    with server:
        places = addresses(given.host, server.server_address[1])
        print(f"The book is at {' or '.join(places)} (Ctrl-C stops)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
