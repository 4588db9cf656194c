"""One line per record on standard error: text for people, or one JSON object for programs (`VIREO_LOG_FORMAT`)."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from core.logs.belonging import JOB_ID, REQUEST_ID
from core.logs.secrets import Redactor
from core.settings import Settings

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {ord("\n"): "\\n", ord("\t"): "\\t"}
"""A message is one line, whatever a request had in it."""

_PLAIN = re.compile(r"[\w./:@%+,*-]+")
_VERBOSE = ("httpx2", "httpcore2", "python_multipart", "uvicorn.error")  # they log URLs and every step


class Lines(logging.Formatter):
    """`extra={"fields": {…}}` of a record are fields of its line."""

    def __init__(self, redact: Redactor | None = None) -> None:
        super().__init__()
        self._redact = redact or Redactor()

    def formatException(self, exc_info: Any) -> str:
        return self._redact(super().formatException(exc_info))

    def _message(self, record: logging.LogRecord) -> str:
        return self._redact(record.getMessage())

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = getattr(record, "fields", {})
        return {name: self._redact(value) if isinstance(value, str) else value for name, value in fields.items()}

    def _trace(self, record: logging.LogRecord) -> str | None:
        return self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None


class TextLines(Lines):
    """`2026-11-22 12:00:00,123 WARNING worker.jobs.attempt [req_… job_…]: message name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        belongs = " ".join(filter(None, (REQUEST_ID.get(), _job_of(record))))
        head = f"{self.formatTime(record)} {record.levelname} {record.name}{f' [{belongs}]' if belongs else ''}"
        fields = "".join(f" {name}={_value(value)}" for name, value in self._fields(record).items())
        line = f"{head}: {self._message(record).translate(_CONTROL)}{fields}"
        trace = self._trace(record)
        return f"{line}\n{trace}" if trace else line


class JsonLines(Lines):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`; `request_id` and `job_id` of lines that belong to one;
    the record's fields; `exception` with its trace."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        belongs = {"request_id": REQUEST_ID.get(), "job_id": _job_of(record)}
        line |= {name: value for name, value in belongs.items() if value}
        line |= self._fields(record)
        if trace := self._trace(record):
            line["exception"] = trace
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(settings: Settings) -> None:
    """Replace the handlers of the root logger. An error that ends a thread or the process is a line as well."""
    handler = logging.StreamHandler(sys.stderr)
    redact = Redactor(settings)
    handler.setFormatter(JsonLines(redact) if settings.log_format == "json" else TextLines(redact))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for verbose in _VERBOSE:
        logging.getLogger(verbose).setLevel(max(logging.WARNING, logging.getLogger().level))
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("vireo").critical("an error ended the process", exc_info=(kind, error, trace))


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        error = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        name = ended.thread.name if ended.thread else "unknown"
        logging.getLogger("vireo").critical("an error ended the thread %s", name, exc_info=error)


def _job_of(record: logging.LogRecord) -> str | None:
    """Celery tells of a message that arrives before its thread knows the job: the message has the job's id."""
    if job_id := JOB_ID.get():
        return job_id
    message = getattr(record, "data", None)
    task = message.get("id") if isinstance(message, dict) else None
    return task if isinstance(task, str) and task.startswith("job_") else None


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
