"""The provider that scales by handles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dockerparallel import CloudProvider, ProviderError, Status, WorkerNumbers
from dockerparallel_managed_provider.answers import check_flags, check_statuses, usable_handles
from dockerparallel_managed_provider.handles import check_handles, count, listed, unique
from dockerparallel_managed_provider.selection import Container, choose

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware

_ATTRIBUTE = "_managed_worker_handles"


class ManagedCloudProvider(CloudProvider):
    """Keeps the handles of the worker containers, and scales by them.

    A handle is a string, unique among the containers of the cluster, by which the platform finds
    one container. It stands for all workers in that container, which live and die together.

    Extension authors override :meth:`run_worker_containers`, :meth:`worker_status` and
    :meth:`kill_worker_containers`, besides the three server methods of
    :class:`dockerparallel.CloudProvider`. They need no ``__init__``, and one that they have need
    not call this class's. All methods are called under the lock of the cluster, so never from two
    threads at a time. Methods that get ``handles`` get each only once, and are not called for
    none.
    """

    # What a managed provider must do --------------------------------------------------------

    @abstractmethod
    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        """Start ``worker_number`` more workers and return a handle for each.

        Called when workers are missing. It need not wait until they run. A start that fails
        half-way passes the handles of what it started to :meth:`add_worker_handles`, so that it
        can be killed, and raises. Handles that are returned are added by the caller.

        Parameters
        ----------
        container
            The worker container, configured for ONE worker. To put n workers into one container,
            call ``container.configure_worker_env(cluster, n)``, with n at most
            ``container.max_worker_num``.
        hardware
            What ONE worker needs.
        worker_number
            At least 1.

        Returns
        -------
        list of str
            ``worker_number`` handles. That of a container with n workers is there n times.
        """

    @abstractmethod
    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        """Return the status of each container, in the order of ``handles``.

        Called by :meth:`worker_numbers` and by the ``is_worker_...`` methods. A handle that the
        platform does not know is ``Status.STOPPED``. Must not wait for a change of status.
        """

    @abstractmethod
    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """End the containers and return for each whether it is gone or on its way.

        Called when there are too many workers, and at interpreter exit too, where no new thread
        can be started. All workers in a container go. A container that is dead already, or
        unknown, counts as killed. Of one that could not be killed the answer is ``False``: it
        stays known, with a warning, and is tried again.
        """

    # What it may do -------------------------------------------------------------------------

    def is_worker_initializing(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """Tell of each container whether it initializes; by default from :meth:`worker_status`.

        Called when some of the containers are to be killed: those that initialize go first.
        """
        return self._has_status(cluster, handles, Status.INITIALIZING)

    def is_worker_running(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """Tell of each container whether it runs; by default from :meth:`worker_status`.

        For subclasses and tools; this class does not call it.
        """
        return self._has_status(cluster, handles, Status.RUNNING)

    def is_worker_stopped(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """Tell of each container whether it has stopped; by default from :meth:`worker_status`.

        Called before the number of workers is changed, to forget those that died.
        """
        return self._has_status(cluster, handles, Status.STOPPED)

    # The list of handles --------------------------------------------------------------------

    def worker_handles(self) -> list[str]:
        """Return the handles that are known, the oldest first, each repeated per worker.

        A provider that keeps its handles where other sessions see them overrides this,
        :meth:`add_worker_handles` and :meth:`remove_worker_handles`; all else uses these three.
        """
        return [handle for handle, workers in self._counts().items() for _ in range(workers)]

    def add_worker_handles(self, handles: Iterable[str]) -> None:
        """Note that workers were started, or found by ``reconnect``.

        Called by this class with what :meth:`run_worker_containers` returned, and by subclasses.

        Parameters
        ----------
        handles
            One for each worker: a handle given n times stands for n workers more.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            An item is no string, or an empty one; none is noted then.
        """
        new = check_handles(handles)
        counts = self._counts()
        for handle in new:
            counts[handle] = counts.get(handle, 0) + 1

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Forget containers that are gone, with all their workers; unknown ones are ignored.

        Called with handles that were killed, or found dead. A subclass may override it to release
        what a dead container leaves behind, and call this.
        """
        for handle in check_handles(handles):
            self._counts().pop(handle, None)

    def _counts(self) -> dict[str, int]:
        """Return the workers by handle, the oldest first; made when first asked for."""
        counts: dict[str, int] = vars(self).setdefault(_ATTRIBUTE, {})
        return counts

    # What this class does -------------------------------------------------------------------

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        """Forget dead containers, then start workers that are missing or kill some.

        Whole containers are killed: as many workers as possible without exceeding the number that
        is too many, so a few may remain. For 0 all are killed, and nothing else is asked.
        Containers that initialize go first, and of equal ones the newest.

        Raises
        ------
        ProviderError
            The subclass gave an answer of the wrong form; the message shows it.
        """
        if worker_number == 0:
            self._kill(cluster, unique(self.worker_handles()))
            return
        self._forget_dead(cluster)
        missing = worker_number - len(self.worker_handles())
        if missing > 0:
            self._grow(cluster, container, hardware, missing)
        elif missing < 0:
            self._shrink(cluster, -missing)

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        """Count the workers by the status of their containers; asks the platform once."""
        counts = count(self.worker_handles())
        handles = list(counts)
        numbers = dict.fromkeys(Status, 0)
        for handle, status in zip(handles, self._statuses(cluster, handles), strict=True):
            numbers[status] += counts[handle]
        return WorkerNumbers(numbers[Status.INITIALIZING], numbers[Status.RUNNING])

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return the handles of the containers that live; asks the platform once."""
        handles = unique(self.worker_handles())
        stopped = self._flags(cluster, "is_worker_stopped", handles)
        return [handle for handle, gone in zip(handles, stopped, strict=True) if not gone]

    def _forget_dead(self, cluster: DockerCluster) -> None:
        handles = unique(self.worker_handles())
        stopped = self._flags(cluster, "is_worker_stopped", handles)
        dead = [handle for handle, gone in zip(handles, stopped, strict=True) if gone]
        if dead:
            cluster.logger.info("%d worker container(s) have died: %s", len(dead), listed(dead))
            self.remove_worker_handles(dead)

    def _grow(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        missing: int,
    ) -> None:
        cluster.logger.debug("Starting %d worker(s).", missing)
        answer: object = self.run_worker_containers(cluster, container, hardware, missing)
        # Noted before it is judged: what was started must be found again to be killed.
        handles = usable_handles(answer)
        self.add_worker_handles(handles)
        if not isinstance(answer, list | tuple) or len(handles) != len(answer):
            raise ProviderError(
                f"{self._method('run_worker_containers')} gave {answer!r}: it must be a list of "
                "handles, which are strings and not empty."
            )
        if len(handles) != missing:
            raise ProviderError(
                f"{self._method('run_worker_containers')} was asked for {missing} worker(s) and "
                f"gave {len(handles)} handle(s): it must be one for each worker, repeated where "
                f"workers share a container. It gave {answer!r}."
            )

    def _shrink(self, cluster: DockerCluster, too_many: int) -> None:
        counts = count(self.worker_handles())
        handles = list(counts)
        initializing = self._flags(cluster, "is_worker_initializing", handles)
        containers = [
            Container(handle, counts[handle], starts)
            for handle, starts in zip(handles, initializing, strict=True)
        ]
        chosen = choose(containers, too_many)
        kept = too_many - sum(counts[handle] for handle in chosen)
        if kept:
            cluster.logger.info(
                "%d worker(s) more than wanted stay: they share containers with others.", kept
            )
        self._kill(cluster, chosen)

    def _kill(self, cluster: DockerCluster, handles: list[str]) -> None:
        if not handles:
            return
        cluster.logger.debug("Killing %d worker container(s).", len(handles))
        answer = self.kill_worker_containers(cluster, list(handles))
        killed = check_flags(self._method("kill_worker_containers"), handles, answer)
        self.remove_worker_handles(h for h, gone in zip(handles, killed, strict=True) if gone)
        failed = [handle for handle, gone in zip(handles, killed, strict=True) if not gone]
        if failed:
            cluster.logger.warning(
                "%d worker container(s) could not be killed and stay known: %s",
                len(failed),
                listed(failed),
            )

    def _statuses(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        if not handles:
            return []
        answer = self.worker_status(cluster, list(handles))
        return check_statuses(self._method("worker_status"), handles, answer)

    def _has_status(self, cluster: DockerCluster, handles: list[str], wanted: Status) -> list[bool]:
        return [status is wanted for status in self._statuses(cluster, handles)]

    def _flags(self, cluster: DockerCluster, method: str, handles: list[str]) -> list[bool]:
        if not handles:
            return []
        answer = getattr(self, method)(cluster, list(handles))
        return check_flags(self._method(method), handles, answer)

    def _method(self, name: str) -> str:
        return f"{type(self).__name__}.{name}()"
