"""How commands log, and what they say to whoever started them."""

import logging
import sys
from types import TracebackType

import click

from engine.runtime.log_json import JsonFormatter
from engine.runtime.log_limit import LogLimit

TEXT_FORMAT = "%(levelname)s %(name)s: %(message)s"

log = logging.getLogger("engine.cli")


def configure_logging(level: str, *, as_json: bool) -> None:
    """`DEBUG` is for this project alone: at that level, libraries log what people say, in messages and packets."""
    logging.basicConfig(level="INFO" if level == "DEBUG" else level, format=TEXT_FORMAT)
    for name in ("engine", "cberl"):
        logging.getLogger(name).setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
        if as_json:
            handler.setFormatter(JsonFormatter())
    if as_json:
        logging.captureWarnings(True)
        sys.excepthook = _log_exception
    if level in ("DEBUG", "INFO"):
        for name in ("uvicorn", "aioice", "aiortc", "httpx2"):  # at info they log each connection, with addresses
            logging.getLogger(name).setLevel(logging.WARNING)


def logs_json() -> bool:
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def say(text: str, level: int = logging.INFO) -> None:
    """A line on stderr; a log line where these are JSON, so that every line of a service can be parsed."""
    if logs_json():
        log.log(level, text)
    else:
        click.echo(f"WARNING: {text}" if level == logging.WARNING else text, err=True)


def show_error(error: click.ClickException) -> None:
    """Why a command ends."""
    if logs_json():
        log.error(error.format_message())
    else:
        error.show()


def _log_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("the command failed", exc_info=(kind, error, traceback))
