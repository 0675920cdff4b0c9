"""Messages of a cluster, through the standard logger ``dockerparallel``.

``cluster.verbose`` decides for each cluster alone which messages it sends: the level of the shared
logger is never changed. Where the program has set up no logging, messages go to standard error;
where it has, its handlers get them and nothing is printed twice.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

LOGGER_NAME = "dockerparallel"
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class ClusterLogger(logging.LoggerAdapter[logging.Logger]):
    """Logger of one cluster: its own level, and the cluster's name before each message.

    Extension code uses it as ``cluster.logger``. Thread-safe.

    Parameters
    ----------
    describe
        Gives the name of the cluster; called for each message, since the name can change.
    verbose
        0 for warnings, 1 for progress (INFO) as well, 2 for detail (DEBUG) as well.
    """

    def __init__(self, describe: Callable[[], str], verbose: int) -> None:
        super().__init__(logging.getLogger(LOGGER_NAME), {})
        self._describe = describe
        self.verbose = verbose

    def getEffectiveLevel(self) -> int:  # noqa: N802 - the name is logging's
        """Return the stricter of the cluster's level and the one set on the shared logger."""
        return max(_LEVELS[self.verbose], self.logger.level)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Tell whether this cluster sends messages of ``level``."""
        return self.logger.manager.disable < level and level >= self.getEffectiveLevel()

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the cluster's name before the message."""
        return f"[{self._describe()}] {msg}", kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Send a message; the shared logger's own threshold is not asked again."""
        if not self.isEnabledFor(level):
            return
        stacklevel = kwargs.pop("stacklevel", 1) + 1
        exc_info = kwargs.pop("exc_info", None)
        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif exc_info and not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
        text, _ = self.process(msg, kwargs)
        path, line, function, stack = self.logger.findCaller(
            kwargs.get("stack_info", False), stacklevel
        )
        record = self.logger.makeRecord(
            self.logger.name, level, path, line, text, args, exc_info or None, function, None, stack
        )
        self.logger.handle(record)


class _FallbackHandler(logging.StreamHandler[Any]):
    """Shows messages where the program has set up no logging of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message unless another handler gets it."""
        others = [h for h in logging.getLogger(LOGGER_NAME).handlers if h is not self]
        if others or logging.getLogger().handlers:
            return
        self.stream = sys.stderr
        super().emit(record)


def install_fallback_handler() -> None:
    """Make messages visible in a program without logging; called once, at import."""
    logger = logging.getLogger(LOGGER_NAME)
    if not any(isinstance(handler, _FallbackHandler) for handler in logger.handlers):
        handler = _FallbackHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("dockerparallel %(message)s"))
        logger.addHandler(handler)
