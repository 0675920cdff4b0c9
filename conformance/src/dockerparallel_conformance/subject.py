"""What a check works with: the extension pair under test, and clusters of it."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import pytest

from dockerparallel import (
    Capability,
    CloudProvider,
    DockerCluster,
    DockerContainer,
    DockerHardware,
    ExternalServer,
    Status,
    WorkerNumbers,
)
from dockerparallel.config import CloudConfig
from dockerparallel.state import ClusterState
from dockerparallel_conformance.alarm import TimeLimitReached, lift_limits, time_limit
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.hooks import Hooks
from dockerparallel_conformance.other_process import (
    CannotPickleError,
    in_a_forked_child,
    in_another_process,
)
from dockerparallel_conformance.promises import Promise
from dockerparallel_conformance.stages import Stages, end, unique_name
from dockerparallel_conformance.tasks import IDENTITY, Task

_T = TypeVar("_T")

PACKED_WORKERS = 3
PACKED_LIMIT = 2
"""Of the cluster whose workers share containers: how many there are, and how many share one."""

PROBE_VARIABLE = "CONFORMANCE_PROBE"
PROBE_VALUE = "two words, 'quoted' = \"so\" ü"
PROBE_SECRET = "CONFORMANCE_SECRET"  # noqa: S105 - the name of one
# Part of the time limit after which a wait gives up, so that it says what it waited for before
# the alarm ends the check.
_WAIT_SHARE = 0.75
_TASK_SECONDS = 0.01


@dataclass
class Subject:
    """An extension pair under test, as one check sees it.

    Made for each check, by the fixture ``subject`` or by the one-call form.

    Parameters
    ----------
    provider, worker_container, server_container
        The author's objects; ``server_container`` is ``None`` where the worker container makes it.
    worker_number
        How many workers a cluster gets, at least 1; with 1 some checks show less.
    options
        Further arguments of ``DockerCluster``; a ``job_queue_name`` becomes the beginning of the
        names.
    hooks
        What the author tells of platform and backend.
    timeout
        Seconds for one check.
    stages
        The clusters that checks share.
    reconnecting
        Whether the promises of reconnecting are checked.
    """

    provider: CloudProvider
    worker_container: DockerContainer
    server_container: DockerContainer | None
    worker_number: int
    options: Mapping[str, Any]
    hooks: Hooks
    timeout: float
    stages: Stages
    reconnecting: bool = True
    secret: str = field(default="conformance-secret-of-a-user", repr=False)
    notes: list[str] = field(default_factory=list)
    _states: list[ClusterState] = field(default_factory=list)
    # Closed outside the time limit, which must not interrupt the removal of a container.
    _outside: ExitStack = field(default_factory=ExitStack)
    _deadline: float = 0.0

    # What a check may say -------------------------------------------------------------------

    def require(self, kept: object, message: str) -> None:
        """Fail the check with ``message`` unless ``kept`` is true."""
        if not kept:
            self.fail(message)

    def fail(self, message: str) -> NoReturn:
        """Fail the check; ``message`` says what was expected and what was seen."""
        raise ConformanceFailure(message)

    def skip(self, reason: str) -> NoReturn:
        """Skip the check, since it does not apply."""
        pytest.skip(reason)

    def wait_until(self, condition: Callable[[], _T], what: str | Callable[[], str]) -> _T:
        """Wait until ``condition()`` is true and return it; fail when the time is up.

        ``what`` says what is waited for; a function is called when it was in vain.
        """
        pause = 0.001
        while not (value := condition()):
            if time.monotonic() > self._deadline:
                text = what if isinstance(what, str) else what()
                self.fail(f"waited in vain, {self.timeout * _WAIT_SHARE:g} s at most, for: {text}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return value

    def note(self, text: str) -> None:
        """Tell the reader of the report how the check was made."""
        self.notes.append(text)

    @property
    def pair(self) -> str:
        """What is under test, for people."""
        return pair_text(self.provider, self.worker_container, self.worker_number)

    def claim_text(self, promise: Promise) -> str:
        """Return which claim makes a promise binding, and whether it is made."""
        if promise.capability is None:
            return "always"
        return f"{'' if self.claims(promise.capability) else 'not '}{promise.capability}"

    def claims(self, capability: Capability) -> bool:
        """Tell whether the provider or the container claims a capability."""
        return capability in (
            self.provider.claimed_capabilities() | self.worker_container.claimed_capabilities()
        )

    # Clusters -------------------------------------------------------------------------------

    def cluster(self, name: str | None = None, **options: Any) -> DockerCluster:
        """Return a new handle, not started; what it starts is ended after the check.

        The suite keeps no reference to the handle itself.

        Parameters
        ----------
        name
            The ``job_queue_name``; a unique one by default.
        **options
            Arguments of ``DockerCluster`` that replace the usual ones.
        """
        cluster = self._handle(name, options)
        self._states.append(cluster.state)
        return cluster

    def _handle(self, name: str | None, options: Mapping[str, Any]) -> DockerCluster:
        return DockerCluster(**self._arguments(name, options))

    def _arguments(self, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        prefix = self.options.get("job_queue_name", "conformance")
        return {
            "provider": self.provider,
            "worker_container": self.worker_container,
            "server_container": self.server_container,
            "worker_number": self.worker_number,
            "verbose": 0,
            **self.options,
            "job_queue_name": name or unique_name(prefix),
            **options,
        }

    def stage(self, stage: str, name: str | None = None) -> DockerCluster:
        """Return the cluster that checks share under the name ``stage``; at first not started.

        ``name`` is its ``job_queue_name``, by default a unique one.
        """
        return self.stages.get(stage, lambda: self._handle(name, {}))

    def with_server(self) -> DockerCluster:
        """Return the shared cluster with a server that runs; perhaps it has workers."""
        cluster = self.stages.get(
            "main", lambda: self._handle(None, {"worker_container": self.probed_container()})
        )
        if not cluster.runtime.has_server:
            cluster.start_server()
        self.wait_for_server(cluster)
        return cluster

    def running(self) -> DockerCluster:
        """Return the shared cluster: registered, with ``worker_number`` workers that run.

        Its worker container has a variable and a secret of the user's.
        """
        cluster = self.with_server()
        self.scale(cluster, self.worker_number)
        if not cluster.state.registered:
            cluster.register_backend()
        return cluster

    def packed(self) -> DockerCluster:
        """Return the shared cluster whose workers share containers, registered."""
        container = self.worker_container.copy()
        container.max_worker_num = PACKED_LIMIT
        cluster = self.stages.get(
            "packed", lambda: self._handle(None, {"worker_container": container})
        )
        if not cluster.state.registered:
            self.start(cluster, PACKED_WORKERS)
        return cluster

    def left_behind(self) -> tuple[DockerCluster, dict[str, Any]]:
        """Return a handle on the cluster that another process has left, and what that has told.

        The handle is not connected at first, and knows the cluster by its name alone.
        """
        cluster = self.stages.get("left", lambda: self._handle(None, {}), elsewhere=True)
        if "left" not in self.stages.facts:
            container = self.probed_container()
            container.max_worker_num = PACKED_LIMIT
            arguments = self._arguments(
                cluster.config.job_queue_name, {"worker_container": container}
            )
            timeout = self.timeout * _WAIT_SHARE
            try:
                answer = in_another_process(arguments, stop_on_exit=False, timeout=timeout)
            except CannotPickleError as error:
                self.note(f"in a forked child, since a fresh interpreter cannot have {error}")
                answer = in_a_forked_child(arguments, timeout=timeout)
            self.stages.facts["left"] = answer
            make_unlike(cluster.config)
        return cluster, self.stages.facts["left"]

    def in_an_ending_interpreter(self) -> tuple[DockerCluster, dict[str, Any]]:
        """Do as :meth:`left_behind`, with a cluster that its process stops as it ends."""
        cluster = self.stages.get("ending", lambda: self._handle(None, {}), elsewhere=True)
        arguments = self._arguments(cluster.config.job_queue_name, {})
        try:
            answer = in_another_process(
                arguments, stop_on_exit=True, timeout=self.timeout * _WAIT_SHARE
            )
        except CannotPickleError as error:
            self.skip(f"a fresh interpreter cannot have {error}")
        return cluster, answer

    def outside_server(self) -> ExternalServer:
        """Return a server that runs outside any cluster, until the check is over."""
        if self.hooks.external_server is None:
            self.skip("there is no external server: give the fixture external_server")
        running = self._outside.enter_context(self.hooks.external_server())
        if isinstance(running, ExternalServer):
            return running
        self.note(f"the server ran {running.how}")
        return running.server

    def probed_container(self) -> DockerContainer:
        """Return a copy of the author's container with a variable and a secret of a user's."""
        container = self.worker_container.copy()
        container.environment[PROBE_VARIABLE] = PROBE_VALUE
        container.secrets[PROBE_SECRET] = self.secret
        return container

    def start(self, cluster: DockerCluster, worker_number: int) -> DockerCluster:
        """Start a cluster and wait until ``worker_number`` workers run."""
        cluster.config.expected_worker_number = worker_number
        cluster.start()
        self.wait_for_workers(cluster, worker_number)
        return cluster

    def scale(self, cluster: DockerCluster, worker_number: int) -> None:
        """Ask for a number of workers, unless just that runs, and wait for it."""
        if cluster.worker_numbers() != WorkerNumbers(0, worker_number, worker_number):
            cluster.set_worker_number(worker_number)
            self.wait_for_workers(cluster, worker_number)

    def wait_for_server(self, cluster: DockerCluster) -> None:
        """Wait until the provider says that the server runs."""
        provider = cluster.state.provider
        self.wait_until(
            lambda: Status(provider.server_status(cluster)) is Status.RUNNING,
            "server_status() says 'running' after run_server()",
        )

    def wait_for_workers(self, cluster: DockerCluster, worker_number: int) -> None:
        """Wait until just so many workers run and none is on its way."""
        self.wait_until(
            lambda: cluster.worker_numbers()[:2] == (0, worker_number),
            lambda: (
                f"{worker_number} worker(s) run and none initializes; there are "
                f"{tuple(cluster.worker_numbers()[:2])} (initializing, running)"
            ),
        )

    # Work -----------------------------------------------------------------------------------

    def run(self, cluster: DockerCluster, task: Task, arguments: list[dict[str, Any]]) -> list[Any]:
        """Run a task on the workers, once for each argument; the results come in order."""
        return list(self.hooks.run_tasks(cluster, task, arguments))

    def identities(self, cluster: DockerCluster, expected: int) -> set[tuple[str, int]]:
        """Return the workers that take part in enough short tasks.

        Sends more tasks until ``expected`` different workers have answered, then as many again,
        in which further ones would show; or until the time is up.
        """
        seen: set[tuple[str, int]] = set()
        enough = False
        while not enough:
            enough = len(seen) >= expected or time.monotonic() > self._deadline
            tasks: list[dict[str, Any]] = [{"pause": _TASK_SECONDS} for _ in range(3 * expected)]
            seen |= {tuple(answer) for answer in self.run(cluster, IDENTITY, tasks)}
        return seen

    # The frame of each check ----------------------------------------------------------------

    @contextmanager
    def checking(self, promise: Promise) -> Iterator[None]:
        """Run a check: look at claims, limit the time, and end what it has started."""
        self._skip_unclaimed(promise)
        self.stages.begin_check()
        kept = False
        try:
            with warnings.catch_warnings(), self.bounded():
                # Of a handle that the check drops: its cluster is ended once more below.
                warnings.filterwarnings("ignore", "Stopping the cluster", RuntimeWarning)
                yield
            kept = True
        except pytest.skip.Exception:
            kept = True
            raise
        except TimeLimitReached as error:
            raise ConformanceFailure(
                f"{promise.number}: the check was still running after {self.timeout:g} s. It was "
                f"here:\n{''.join(traceback.format_tb(error.__traceback__)[-6:])}"
            ) from None
        except ConformanceFailure as error:
            raise ConformanceFailure(f"{promise.number}: {error}") from error.__cause__
        except Exception as error:
            raise ConformanceFailure(
                f"{promise.number}: {type(error).__name__}: {error}"
            ) from error
        finally:
            lift_limits()
            # A stack goes on where one of them raises, as a warning does that is made an error.
            with ExitStack() as ending:
                ending.callback(self._outside.close)
                while self._states:
                    ending.callback(end, self._states.pop(), self.timeout)
                if not kept:
                    ending.callback(self.stages.give_up_used)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Limit the time of the block, and of the waits in it."""
        self._deadline = time.monotonic() + _WAIT_SHARE * self.timeout
        with time_limit(self.timeout):
            yield

    def _skip_unclaimed(self, promise: Promise) -> None:
        capability = promise.capability
        if capability is None:
            return
        if capability is Capability.RECONNECT and not self.reconnecting:
            pytest.skip("test_reconnect=False")
        if not self.claims(capability):
            owner = self.provider if promise.number.startswith("P") else self.worker_container
            pytest.skip(f"{type(owner).__name__} does not claim {capability}")


def make_unlike(config: CloudConfig) -> None:
    """Give each setting but the name another value, so that it shows which are restored."""
    config.worker_hardware = config.server_hardware = DockerHardware(cpu=1, memory=1)
    config.server_worker_same_lan = not config.server_worker_same_lan
    config.server_client_same_lan = not config.server_client_same_lan
    config.server_port = 1


def pair_text(
    provider: CloudProvider, worker_container: DockerContainer, worker_number: int
) -> str:
    """Return what is under test, for people."""
    pair = f"{type(provider).__name__} x {type(worker_container).__name__}"
    return f"{pair}, {worker_number} workers"
