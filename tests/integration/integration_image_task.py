"""What a task sees of the container that it runs in; sent to a worker that has no pytest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dockerparallel.environment import read_secret

SECRETS_FOLDER = "/dockerparallel-secrets"


def who_am_i() -> dict[str, Any]:
    """Return who runs this, where, and what it may do."""
    try:
        password = read_secret("DOCKERPARALLEL_REDIS_PASSWORD")
    except PermissionError:
        password = "not for me"
    try:
        Path(SECRETS_FOLDER, "MINE").rename(Path.home() / "MINE")
        changed = True
    except OSError:
        changed = False
    return {
        "users": os.getresuid(),
        "home": os.environ["HOME"],
        "folder": str(Path.cwd()),
        "writes": os.access(Path.cwd(), os.W_OK),
        "secret": read_secret("MINE"),
        "password": password,
        "changed": changed,
        "first to be killed": Path("/proc/self/oom_score_adj").read_text().strip(),
        "threads": os.environ["OMP_NUM_THREADS"],
    }
