"""The book shown to a room: many connections that say nothing keep nobody out."""

import contextlib
import re
import resource
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import ThreadingHTTPServer

from conftest import ROOT

from companion.engine import serve


def test_pages_are_there_beside_as_many_idle_connections_as_a_room_opens(tmp_path):
    (tmp_path / "index.html").write_text("a page")
    command = [sys.executable, "-m", "companion.engine.serve", str(tmp_path), "--port", "0"]

    def as_on_macos():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 8192))

    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=as_on_macos
    ) as process:
        try:
            url = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            with contextlib.ExitStack() as open_ones:
                for _ in range(400):
                    idle = socket.create_connection(("127.0.0.1", int(url[1])), timeout=10)
                    open_ones.enter_context(idle)
                with urllib.request.urlopen(f"{url[0]}index.html", timeout=10) as page:
                    assert page.read() == b"a page"
        finally:
            process.kill()


def test_an_idle_connection_ends(monkeypatch):
    assert serve.Handler.timeout == 15
    monkeypatch.setattr(serve.Handler, "timeout", 0.1)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve.Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address, timeout=10) as idle:
            assert idle.recv(1) == b""  # closed by the server, not by this time-out
        server.shutdown()
