"""The log of offbus's programs in the cluster: one JSON object per line on stderr; URLs lose their userinfo."""

import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from offbus.userinfo import without_userinfo

__all__ = ["log_json"]


def log_json() -> None:
    """Configure structlog, once per program."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _no_userinfo,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _no_userinfo(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: without_userinfo(one) if isinstance(one, str) else one for key, one in event.items()}
