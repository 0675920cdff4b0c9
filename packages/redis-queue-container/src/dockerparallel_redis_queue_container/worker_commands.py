"""What workers and their supervisors may ask of the queue; see ``task_queue.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dockerparallel_redis_queue_container import worker_scripts as scripts
from dockerparallel_redis_queue_container.pace import STALE_SECONDS
from dockerparallel_redis_queue_container.queue_line import QueueLine
from dockerparallel_redis_queue_container.records import Claim, Claimed


class WorkerCommands(QueueLine):
    """The part of :class:`TaskQueue` for workers, and for who looks after them."""

    def claim(
        self,
        worker: str,
        finished: Sequence[bytes] = (),
        *,
        most: int = 1,
        holding: int = 0,
        pace: float = 0.0,
        stale: float = STALE_SECONDS,
    ) -> Claimed:
        """Hand in finished tasks and take the next ones, in one step.

        Parameters
        ----------
        worker
            The id of the worker.
        finished
            Their records, in the order in which they were claimed.
        most
            How many tasks it wants. It gets fewer where others would have none then, and none
            behind, or behind it, where a worker has died over a task.
        holding
            How many unfinished tasks it believes to hold. Where that is wrong (a reply was lost,
            or others took what it has not begun), it is told all that it holds.
        pace
            The seconds that it takes for a task, as far as it knows.
        stale
            The seconds that another may have been silent before this one, where it would be idle,
            takes what that one holds and has not begun.

        Returns
        -------
        Claimed
            A worker that has nothing is idle from then on: see :meth:`wait_for_task`.
        """
        numbers = (_milliseconds(self.settings.lease), self.settings.result_expiry, most, holding)
        whole, spare, dropped, *parts = self.script(
            scripts.CLAIM,
            worker,
            *numbers,
            _milliseconds(stale),
            _microseconds(pace),
            *finished,
        )
        late, parts = parts[:dropped], parts[dropped:]
        tasks = [
            Claim(task_id.decode(), int(attempts), payload)
            for task_id, attempts, payload in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ]
        return Claimed(tasks, bool(whole), bool(spare), [task_id.decode() for task_id in late])

    def give_back(self, worker: str, task_ids: Sequence[str], *, pace: float = 0.0) -> int:
        """Put claimed tasks that have not begun back to the front; returns how many there were.

        ``pace`` is the seconds that the task before them takes already; 0 where that is not why.
        """
        return int(self.script(scripts.GIVE_BACK, worker, _microseconds(pace), *task_ids))

    def wait_for_task(self, worker: str, seconds: float) -> Claim | None:
        """Block until an idle worker is given a task, at most ``seconds``; else claim.

        The task is in the worker's list already, so a lost reply does not lose it: the next claim
        tells it.
        """
        reply = self.command("BLPOP", self.key(f"inbox:{worker}"), seconds)
        if not reply or not reply[1]:
            return None
        task_id, attempts, payload = reply[1].split(b" ", 2)
        return Claim(task_id.decode(), int(attempts), payload)

    # The supervisor's side -------------------------------------------------------------------

    def renew(self, workers: Iterable[tuple[str, str]]) -> None:
        """Renew the leases of live workers, each with the JSON text that describes it."""
        arguments = [part for worker in workers for part in worker]
        self.script(scripts.RENEW, _milliseconds(self.settings.lease), *arguments)

    def bury(self, worker: str, died: bytes, *, blame: bool, ran: str | None = None) -> int:
        """End the lease of a dead worker and give its tasks to others.

        Parameters
        ----------
        worker
            The id of the worker.
        died
            The outcome of a task that has now killed too many workers.
        blame
            Whether its death counts against the task it ran; not so where we ended it.
        ran
            The id of that task, or "-" for none; where it is not known, the first it held.

        Returns
        -------
        int
            The number of tasks that it held.
        """
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        return int(self.script(scripts.BURY, worker, *limits, died, int(blame), ran or ""))

    def reap(self, died: bytes) -> int:
        """Give the tasks of workers whose lease is over to others; returns how many.

        To be called more often than each half lease by somebody: where nobody has for so long, no
        lease counts as over before a whole one from now on.
        """
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        grace = _milliseconds(self.settings.late_move)
        lease = _milliseconds(self.settings.lease)
        return int(self.script(scripts.REAP, *limits, grace, died, lease))


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _microseconds(seconds: float) -> int:
    return round(1e6 * seconds)
