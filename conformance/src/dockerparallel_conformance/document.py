"""The promises as a page of Markdown, made from the checks themselves."""

from __future__ import annotations

from dockerparallel_conformance.container_checks import ContainerConformance
from dockerparallel_conformance.promises import Promise, promises_of
from dockerparallel_conformance.provider_checks import ProviderConformance

_HEAD = """\
# The promises

What every provider and every container of DockerParallel promises, in the order of a cluster's
life. The conformance suite (`dockerparallel-conformance`) checks each of them; a number never
changes its meaning. [The guide for authors](extending.md) tells how to run it.

A promise with a capability in brackets binds an extension that claims this capability. Where it is
not claimed, the check is skipped, with the reason in the table; where it is claimed and fails, it
fails.

This page is made from the checks: `python -m dockerparallel_conformance > docs/conformance.md`.
"""


def promises_as_markdown() -> str:
    """Return ``docs/conformance.md``."""
    parts = [_HEAD]
    for title, suite in (
        ("Promises of a provider", ProviderConformance),
        ("Promises of a container", ContainerConformance),
    ):
        parts.append(f"\n## {title}\n")
        parts += [_entry(promise) for promise in promises_of(suite)]
    return "".join(parts)


def _entry(promise: Promise) -> str:
    claim = f" [{promise.capability}]" if promise.capability else ""
    body = promise.text.partition("\n")[2].strip()
    paragraphs = [body] if body else []
    paragraphs.append(f"*Troubleshooting:* {promise.troubleshooting}")
    text = "\n\n".join(paragraphs).replace("``", "`")
    return f"\n### {promise.number}{claim}: {promise.title}\n\n{text}\n"
