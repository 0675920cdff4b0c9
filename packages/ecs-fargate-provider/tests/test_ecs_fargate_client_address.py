"""From where the session comes: given, computed by the user, or asked of a service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dockerparallel import InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider.client_address import client_cidr
from dockerparallel_ecs_fargate_provider.errors import AWSUnreachableError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig",)

Serve = Callable[[int, bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what starts a server with one answer, and tells its address."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_given_network_is_taken() -> None:
    assert client_cidr(Options(client_cidr="198.51.100.0/24", checkip_url="no")) == (
        "198.51.100.0/24"
    )


def test_a_function_is_called_each_time_and_checked() -> None:
    answers = iter(["198.51.100.9", "198.51.100.10/32"])
    options = Options(client_cidr=lambda: next(answers))
    assert client_cidr(options) == "198.51.100.9/32"
    assert client_cidr(options) == "198.51.100.10/32"


def test_what_a_function_must_not_return() -> None:
    with pytest.raises(InvalidValueError, match="whole internet"):
        client_cidr(Options(client_cidr=lambda: "0.0.0.0/0"))
    with pytest.raises(InvalidTypeError):
        client_cidr(Options(client_cidr=lambda: None))  # type: ignore[arg-type,return-value]


def test_the_service_is_asked(harness: FargateHarness, serve: Serve) -> None:
    options = Options(checkip_url=harness.checkip_url)
    assert client_cidr(options) == f"{harness.client_address}/32"
    assert client_cidr(Options(checkip_url=serve(200, b" 198.51.100.7\n"))) == "198.51.100.7/32"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>log in first</html>"), (200, b""), (200, b"2001:db8::1"), (200, b"\xff" * 999)],
)
def test_an_answer_that_is_no_address(serve: Serve, status: int, body: bytes) -> None:
    with pytest.raises(AWSUnreachableError, match=r"no IPv4 address: pass client_cidr=") as caught:
        client_cidr(Options(checkip_url=serve(status, body)))
    assert "log in" not in str(caught.value)


def test_a_service_that_does_not_answer(serve: Serve) -> None:
    with pytest.raises(AWSUnreachableError, match=r"did not tell it \(HTTP Error 503.*client_cidr"):
        client_cidr(Options(checkip_url=serve(503, b"")))
    with pytest.raises(AWSUnreachableError, match=r"did not tell it .*pass client_cidr="):
        client_cidr(Options(checkip_url="http://127.0.0.1:9/"))


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/", "checkip"])
def test_other_schemes_are_not_opened(url: str) -> None:
    with pytest.raises(AWSUnreachableError, match="begins with https://, or pass client_cidr="):
        client_cidr(Options(checkip_url=url))
