"""The Lua scripts of the queue: each is one atomic step in the life of many tasks.

Scripts, because a step moves ids and their bookkeeping together: a client, worker or connection
that dies leaves either all of a step or nothing of it. Each step may be repeated when its reply
was lost. All take the prefix of the keys as their only key (see ``keys.py``; the hash tag keeps
the others in the same slot) and use no command that Redis 6.2 lacks. Times are milliseconds of
the server's clock, so that the clocks of clients and workers do not matter.

Steps take many tasks at once, and touch a key once for all of them: most of what a command costs
is its call, not its work.
"""

from __future__ import annotations

import hashlib

from dockerparallel_redis_queue_container.client_scripts import (
    ANNOUNCE,
    CANCEL,
    FORGET_CLIENT,
    RUNNING,
    SUBMIT,
    TAKE,
)
from dockerparallel_redis_queue_container.job_scripts import JOB_SCRIPTS
from dockerparallel_redis_queue_container.worker_scripts import BURY, CLAIM, GIVE_BACK, REAP, RENEW

ALL_SCRIPTS = (
    *(ANNOUNCE, FORGET_CLIENT, SUBMIT, CLAIM, GIVE_BACK, RENEW, BURY, REAP, TAKE, CANCEL, RUNNING),
    *JOB_SCRIPTS,
)

DIGESTS = {text: hashlib.sha1(text.encode()).hexdigest() for text in ALL_SCRIPTS}  # noqa: S324  # Redis names scripts by SHA-1
"""Each script with the name that a server which has run it knows it by."""
