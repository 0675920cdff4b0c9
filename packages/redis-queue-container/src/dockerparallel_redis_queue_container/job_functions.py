"""What the worker container exports to its users about named jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockerparallel import exported
from dockerparallel.validation import check_identifier
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.jobs import JobRequest
from dockerparallel_redis_queue_container.registering import (
    RegistrationOptions,
    answering,
    open_job,
)

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


class JobFunctions:
    """A part of :class:`RedisQueueWorkerContainer`."""

    @exported
    def attach_job(
        self, cluster: DockerCluster, job: str, *, take_over: bool = False, **options: float
    ) -> ClusterExecutor:
        """Return an executor that holds a job which another session has begun.

        ``attached_futures`` of the executor has the futures of all its tasks, done or not, and what
        is submitted to it belongs to the job as well.

        Parameters
        ----------
        job
            Its name; :meth:`jobs` lists them.
        take_over
            Whether to take it from a session that lives and holds it, whose open futures then fail.
            One that has been silent for 30 s need not be asked.
        **options
            As in :meth:`executor`; a job has a connection of its own.

        Raises
        ------
        JobNotFoundError
            There is no such job (any more).
        JobInUseError
            A session that lives holds it.
        ServerNotRunningError, QueueConnectionError, InvalidTypeError, InvalidValueError
            As :meth:`executor`.
        """
        request = JobRequest(check_identifier("job", job), "take over" if take_over else "attach")
        chosen = RegistrationOptions.parse(options)
        return ClusterExecutor(open_job(cluster, chosen, request), cluster)

    @exported
    def jobs(self, cluster: DockerCluster) -> list[dict[str, Any]]:
        """Return the named jobs on the server, the oldest first.

        Returns
        -------
        list of dict
            ``name``; ``created``, a ``datetime`` in UTC; ``tasks``, the number of those submitted
            and not cancelled; ``done``, how many of them have a result or an error; ``held_by``, a
            dict of ``host`` and ``pid`` of the session that holds it, or ``None``.

        Raises
        ------
        ServerNotRunningError, QueueConnectionError
            As :meth:`executor`.
        """
        with answering(cluster) as client:
            return client.job_book.jobs()

    @exported
    def remove_job(self, cluster: DockerCluster, job: str, *, force: bool = False) -> None:
        """Drop a job: its results, and those of its tasks that no worker has begun.

        Parameters
        ----------
        job
            Its name.
        force
            Whether to remove it though a session that lives holds it, whose open futures then fail.

        Raises
        ------
        JobNotFoundError, JobInUseError
            There is no such job, or a session holds it: shut its executor down first.
        ServerNotRunningError, QueueConnectionError, InvalidTypeError, InvalidValueError
            As :meth:`executor`.
        """
        check_identifier("job", job)
        with answering(cluster) as client:
            client.job_book.remove(job, force=force)
