"""Where `cberl export` finds conversations: an event log, a running engine, or a file of JSON Lines."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx2
from pydantic_core import from_json

from engine.delivery.wire import WireError, decode, to_json
from engine.events import ConversationStarted, EmotionEvent
from engine.export.formats import ExportError
from engine.store.database import StoreError, open_database
from engine.store.event_log import EventLog

MOST = 100_000  # conversations
PAGE_EVENTS = 1000
TIMEOUT_S = 30.0


class Source(Protocol):
    """Conversations by name, the latest first, each with the time of its last event where that is known."""

    def names(self) -> dict[str, str]: ...

    def messages(self, conversation: str) -> Iterator[str]:
        """Its events as JSON, in order."""

    def started(self, conversation: str) -> dict[int, str]:
        """When it began, each time that it ran, by the number of that event, where that is known."""


@contextmanager
def open_source(source: str, token: str) -> Iterator[Source]:
    """Raises ExportError or StoreError where it cannot be read."""
    if source.startswith(("http://", "https://")):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx2.Client(base_url=source.rstrip("/"), headers=headers, timeout=TIMEOUT_S) as client:
            yield _RunningEngine(client, source)
        return
    path = Path(source)
    if not path.is_file():
        raise ExportError(f"{source} is no file: name an event log, the address of an engine, or JSON Lines")
    with path.open("rb") as file:
        is_database = file.read(16) == b"SQLite format 3\0"
    if not is_database:
        yield _JsonLines(path)
        return
    try:
        database = open_database(source)
    except StoreError as error:
        if "in use" not in str(error):
            raise
        raise ExportError(f"{source} is in use by an engine: name its address, http://127.0.0.1:8765") from error
    with closing(database):
        yield _EventLogFile(EventLog(database))


class _EventLogFile:
    def __init__(self, log: EventLog) -> None:
        self._log = log

    def names(self) -> dict[str, str]:
        found = self._log.conversations(MOST)
        return {it.id: _local(it.last_at_s) for it in found}

    def messages(self, conversation: str) -> Iterator[str]:
        after = 0
        while page := self._log.events(conversation, after, PAGE_EVENTS):
            yield from (text for _, text in page)
            after = page[-1][0]

    def started(self, conversation: str) -> dict[int, str]:
        return {seq: _local(at_s) for seq, at_s in self._log.started(conversation).items()}


def _local(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().isoformat(" ", "seconds")


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            try:
                _, message = decode(line)
            except WireError as error:
                raise ExportError(f"{path}: line {number} is not an event of an engine: {error}") from error
            if isinstance(message, EmotionEvent | ConversationStarted):
                self._lines[message.conversation].append(line)

    def names(self) -> dict[str, str]:
        return dict.fromkeys(self._lines, "")

    def messages(self, conversation: str) -> Iterator[str]:
        return iter(self._lines[conversation])

    def started(self, conversation: str) -> dict[int, str]:
        return {}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ExportError(f"{path} is neither an event log nor JSON Lines") from error


class _RunningEngine:
    def __init__(self, client: httpx2.Client, address: str) -> None:
        self._client = client
        self._address = address

    def names(self) -> dict[str, str]:
        listed = self._json(self._answer("/conversations"))["conversations"]
        return {it["id"]: "running" if it["active"] else "" for it in listed}

    def messages(self, conversation: str) -> Iterator[str]:
        """Of an engine without an event log, the turns of the latest session that it still has."""
        path, after = f"/conversations/{quote(conversation, safe='')}", 0
        while True:
            answer = self._answer(f"{path}/events?after_seq={after}&limit={PAGE_EVENTS}")
            if answer.status_code == 404 and _body(answer).get("code") == "no_event_log":
                yield from self._accepted(self._answer(f"{path}/export?format=jsonl")).text.splitlines()
                return
            page = self._json(answer)
            if not page["events"]:
                return
            yield from map(to_json, page["events"])
            after = page["last_seq"]

    def started(self, conversation: str) -> dict[int, str]:
        return {}

    def _answer(self, path: str) -> httpx2.Response:
        try:
            return self._client.get(path)
        except httpx2.HTTPError as error:
            raise ExportError(f"{self._address} does not answer: {error}") from error

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return from_json(self._accepted(answer).content)
        except ValueError as error:
            raise ExportError(f"{self._address} is no engine: what it sends is not JSON") from error

    def _accepted(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code != 200:
            said = _body(answer).get("message", "")
            raise ExportError(f"{self._address} refuses ({answer.status_code}): {said}")
        return answer


def _body(answer: httpx2.Response) -> dict[str, Any]:
    """Of a refusal; empty where it is not one of an engine."""
    try:
        body = from_json(answer.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
