"""An extension that hangs is told so in time, and the suite goes on."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from memory_cloud import MemoryCloud
from memory_container import MemoryWorkerContainer
from memory_provider import MemoryProvider
from mutant_runs import memory_hooks

from dockerparallel_conformance import ConformanceFailure, general_docker_cluster_test

pytestmark = pytest.mark.filterwarnings(
    "ignore::dockerparallel_conformance.errors.ConformanceWarning",
    # A tenth of a second ends checks wherever they are, also where they have just opened something.
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


class HangingProvider(MemoryProvider):
    """Waits for ever wherever it is asked for its server, and drops what interrupts it."""

    def run_server(self, *args: Any) -> None:
        while True:
            with contextlib.suppress(Exception):
                threading.Event().wait()


def test_a_hanging_provider_is_ended_and_told_where_it_was(
    memory_cloud: MemoryCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConformanceFailure) as caught:
        general_docker_cluster_test(
            HangingProvider(memory_cloud.address),
            MemoryWorkerContainer(),
            worker_number=1,
            test_reconnect=False,
            hooks=memory_hooks(memory_cloud.address),
            check_timeout=0.1,
        )
    assert "P-3 The server runs" in str(caught.value)
    assert "still running after 0.1 s" in str(caught.value)
    assert "run_server" in str(caught.value), "it must tell where the check was"
    table = capsys.readouterr().out
    assert "P-2" in table, "the checks before it"
    assert "C-2" in table, "and those after it"
    memory_cloud.address.reset()
