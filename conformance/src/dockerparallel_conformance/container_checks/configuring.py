"""Promises C-1 to C-10: how a container is configured."""

from __future__ import annotations

from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject


class ConfiguringPromises:
    """What a container promises of its configuration."""

    @promise("C-1")
    def test_c01_a_fresh_container_is_in_order(self, subject: Subject) -> None:
        """A fresh container is in order and shows no secret.

        Its ``repr`` shows neither the value of a secret nor that of an environment variable.

        Troubleshooting: a dataclass that derives from ``DockerContainer`` writes a ``repr`` of
        its own: say ``@dataclass(repr=False)``.
        """
        container = subject.probed_container()
        container.check()
        subject.require(subject.secret not in repr(container), "repr() shows a secret")
