"""Scripts that nox runs; a package, so that the tests can use one of them."""

from __future__ import annotations
