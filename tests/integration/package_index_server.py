"""A package index with one package, for containers of the engine on this machine."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from test_integration_user_code import make_wheel

USER = "reader"
_END_SECONDS = 10.0


@contextlib.contextmanager
def package_index(
    address: str, folder: Path, name: str, source: str, password: str = ""
) -> Iterator[str]:
    """Serve a module as a wheel, in the form of PEP 503, and give the URL of the index.

    Parameters
    ----------
    address
        Where to listen; the port is any that is free.
    folder
        An empty folder, for the wheel.
    name, source
        The module.
    password
        What :data:`USER` must give; nobody is asked where it is empty.
    """
    make_wheel(folder, name, source)
    [wheel] = folder.glob("*.whl")
    page = f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>'.encode()
    project = f"/simple/{name.replace('_', '-')}/"
    pages = {project: ("text/html", page)}
    pages[project + wheel.name] = ("application/octet-stream", wheel.read_bytes())
    wanted = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server looks for
            kind, content = pages.get(self.path, ("", b""))
            if password and self.headers["Authorization"] != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                content = b""
            elif kind:
                self.send_response(200)
                self.send_header("Content-Type", kind)
            else:
                self.send_response(404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is there
            """Print nothing."""

    with ThreadingHTTPServer((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join(_END_SECONDS)
