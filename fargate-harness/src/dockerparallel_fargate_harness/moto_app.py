"""moto as a WSGI application that is called in this process."""

from __future__ import annotations

import io
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from dockerparallel_fargate_harness.wire import Answer


class MotoApp:
    """moto's server, which answers one call at a time."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)

    def answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        """Let moto answer a request."""
        inner = environ | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        chunks, status, headers = run_wsgi_app(self._app, inner, buffered=True)
        content_type = headers.get("Content-Type", "application/octet-stream")
        return Answer(int(status.split()[0]), content_type, b"".join(chunks))

    def reset(self) -> None:
        """Forget everything that moto knows."""
        builder = EnvironBuilder(path="/moto-api/reset", method="POST")
        try:
            self.answer(builder.get_environ(), b"")
        finally:
            builder.close()
