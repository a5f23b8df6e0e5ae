"""The log of offbus's programs in the cluster: one JSON object per line on stderr."""

import sys

import structlog

__all__ = ["log_json"]


def log_json() -> None:
    """Configure structlog, once per program."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
