"""The folder where the workers of one supervisor keep the code that clients ship."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dockerparallel_redis_queue_container.packages import PACKAGES_DIR

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """Make a folder; the process that made it removes it at the end, its forks do not.

    Called by the supervisor. The folder is in the cluster's own where the provider gives one, so
    that it goes with the cluster when a supervisor is killed; else among the temporary files.
    """
    base = os.environ.get(PACKAGES_DIR) or None
    if base is not None:
        Path(base).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="dockerparallel-code-", dir=base))
    owner = os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                # A task may have changed what is in there; the workers have ended all the same.
                _log.warning("The folder %s could not be removed: %s", folder, error)
