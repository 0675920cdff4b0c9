"""Names of the keys in Redis that one job queue uses.

Every key starts with ``dp:{<job queue name>}:``. The braces are a hash tag, so that all keys of a
queue live in one slot of a Redis cluster. Below, ``<worker>`` and ``<client>`` are ids.

============================  ======  ============================================================
key                           type    content
============================  ======  ============================================================
``tasks``                     list    ids of tasks that wait, the next one first
``claimed:<worker>``          list    ids of tasks that a worker has claimed, in their order
``payloads``                  hash    task id -> the pickled task; gone = done or cancelled
``owners``                    hash    task id -> worker that has claimed it, and may run it
``attempts``                  hash    task id -> how many workers died over it
``needs``                     hash    task id -> names of its blobs, with spaces between
``blob:<name>``               string  a large part of tasks, sent once for all that share it
``again:<name>``              string  for ten seconds: a blob was shared, or has been dropped
``uses``                      hash    name of a blob -> number of tasks that need it
``dropped:<task id>``         string  there for a minute where nobody wants a begun task any more
``idle``                      zset    worker id -> when it last asked for work
``inbox:<worker>``            list    what an idle worker was given: wakes it
``spare``                     zset    worker that holds more than it runs -> when it last claimed
``client:<client>``           string  number of the last submission; there while results are wanted
``clients``                   hash    client -> JSON that tells its process from all others
``results:<mailbox>``         list    records of results not yet acknowledged, the oldest first; of
                                      a job all of them
``parts:<mailbox>``           hash    task id and worker -> a large result, for which a stub is
                                      among the results
``signal:<mailbox>``          list    one item where there are new results: wakes the client
``cancelled:<token>``         string  for a minute: the answer to a request to cancel tasks
``jobs``                      set     names of the named jobs
``job:<name>``                hash    a job: when it was ``created``, the number of its ``next``
                                      task, the client that is its ``holder``, JSON ``by`` whom that
                                      is, when it was last ``seen``
``numbers:@<name>``           string  a bit for each number of a task that was submitted to the job
``leases``                    zset    worker id -> end of its lease, in ms of the server's clock
``reaped``                    string  when somebody last looked for leases that are over
``workers``                   hash    worker id -> JSON that describes the worker
``done``, ``failed``          hash    worker id -> number of tasks
``counts``                    hash    totals: ``submitted``, ``done``, ``failed``, ``retried``,
                                      ``died``, ``task_bytes``, ``result_bytes``; and ``pace_us``,
                                      what a task took, at the time ``pace_at``
``code``                      hash    digest -> source bundle of modules
============================  ======  ============================================================

A task id is in exactly one list at any time: ``tasks``, or one worker's ``claimed``. Its form is
``<mailbox>.<number>``, so that a worker knows whose result it has. The mailbox is the id of a
client, or ``@<name>`` for a job.
"""

from __future__ import annotations

PROTOCOL = 3
"""Raised when keys, scripts or pickles change so that older clients and workers cannot go along."""


def key_prefix(job_queue_name: str) -> str:
    """Return what each key of the job queue starts with."""
    return f"dp:{{{job_queue_name}}}:"


def mailbox_of_job(name: str) -> str:
    """Return where the results of a job are collected."""
    return f"@{name}"


def mailbox_of_task(task_id: str) -> str:
    """Return where the result of a task is collected."""
    return task_id.rpartition(".")[0]


def number_of(task_id: str) -> int:
    """Return the number of a task, which counts the tasks of its mailbox from 0."""
    return int(task_id.rpartition(".")[2])
