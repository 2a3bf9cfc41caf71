"""The task of one webhook: sends what waits in the outbox, tries again what failed, sets aside what never succeeds.

    outbox (disk) ─ rows ─► backlog ─ one request per conversation at a time ─► answered 2xx ─► outbox

A row leaves the outbox when it and all before it were answered with 2xx or set aside. So after a restart some are sent
twice, with the same id, and none is lost. A message is set aside (dead letter: counted, logged, kept in the database)

- at once, where the receiver refuses it: 4xx, except for 408, 425 and 429, or a redirect, which is not followed;
- after OWN_FAILURES failures between which others were received, so that it is not the receiver that is down;
- after `give_up_s`.
"""

import asyncio
import logging
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import httpx2

from engine.runtime.backoff import Backoff
from engine.runtime.clocks import unix_s
from engine.store.outbox import OutboxRow
from engine.store.writer import EventWriter
from engine.webhooks.backlog import Backlog
from engine.webhooks.endpoint import Endpoint, signature
from engine.webhooks.feed import message

MOST_HELD = 256  # rows in memory
PARALLEL = 8  # requests
TIMEOUT_S = 15.0  # of one request
MAX_ANSWER_BYTES = 65_536  # read, so that the connection can be used again
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
LONGEST_RETRY_AFTER_S = 3600.0
OWN_FAILURES = 10
DRAIN_S = 3.0  # for what waits when the engine ends
TRY_AGAIN = (408, 425, 429)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not received. `final`: it never will be."""

    problem: str
    final: bool = False
    retry_after_s: float = 0.0


class WebhookSender:
    """`run` it as a task, set `arrived` when there are new rows, `close` it."""

    def __init__(self, endpoint: Endpoint, secrets: list[bytes], event_writer: EventWriter, give_up_s: float) -> None:
        self.name = endpoint.name
        self.arrived = asyncio.Event()
        self._endpoint = endpoint
        self._secrets = secrets
        self._event_writer = event_writer
        self._give_up_s = give_up_s
        self._backlog = Backlog()
        self._requests = asyncio.Semaphore(PARALLEL)
        self._received = self._set_aside = 0  # messages
        self._problem: str | None = None  # of the last request
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        status: dict[str, object] = {
            "failing": self._problem is not None, "received": self._received, "set_aside": self._set_aside,
        }  # fmt: skip
        return status if self._problem is None else status | {"problem": self._problem}

    async def run(self) -> None:
        """Until `close`, whatever happens to the receiver."""
        self._task = asyncio.current_task()
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
            backoff = Backoff(self.name)
            while not self._closing.is_set():
                try:
                    async with asyncio.TaskGroup() as tasks:
                        await self._send(client, tasks)
                except* sqlite3.Error as errors:
                    log.error("webhook %s: the outbox cannot be read: %s", self.name, errors.exceptions[0])
                    self._backlog = Backlog()  # what was under way is read again
                    await self._pause(backoff.next_s())

    async def close(self) -> None:
        """Send what waits for at most DRAIN_S."""
        self._closing.set()
        self.arrived.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=DRAIN_S)
            self._task.cancel()

    def forget(self, conversation: str) -> None:
        """Send nothing more of this conversation."""
        self._backlog.forget(conversation)

    async def _send(self, client: httpx2.AsyncClient, tasks: asyncio.TaskGroup) -> None:
        """Until `close`, and then until there is nothing to send."""
        outbox, backlog = self._event_writer.outbox, self._backlog
        while True:
            self.arrived.clear()
            room = MOST_HELD - len(backlog)
            rows = await self._event_writer.call(outbox.next, self.name, backlog.acknowledged, room, backlog.read)
            backlog.push(rows)
            for row in backlog.ready():
                tasks.create_task(self._deliver(client, row), name=f"webhook {self.name}")
            if self._closing.is_set() and not len(backlog):
                return
            await self.arrived.wait()

    async def _deliver(self, client: httpx2.AsyncClient, row: OutboxRow) -> None:
        """Returns when it was received or set aside."""
        backlog, backoff = self._backlog, Backoff(f"{self.name}/{row.n}", FIRST_WAIT_S, LONGEST_WAIT_S)
        own_failures, received_before = 0, self._received
        while row in backlog:
            async with self._requests:
                failure = await self._attempt(client, row)
            self._report(failure)
            if failure is None:
                self._received += 1
                break
            own_failures += self._received > received_before
            received_before = self._received
            too_old = unix_s() - row.at_s >= self._give_up_s
            if failure.final or own_failures >= OWN_FAILURES or too_old:
                await self._give_up(row, failure)
                break
            await self._pause(max(failure.retry_after_s, backoff.next_s()))
        backlog.done(row)
        self.arrived.set()

    async def _attempt(self, client: httpx2.AsyncClient, row: OutboxRow) -> Failure | None:
        try:
            body = message(row)
        except (TypeError, ValueError) as error:  # a damaged file
            return Failure(f"it cannot be read: {error}", final=True)
        timestamp, message_id = int(unix_s()), quote(row.id, safe="/@")  # names may have letters that headers have not
        headers = {
            "content-type": "application/json", "user-agent": "cberl-engine", "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secrets, message_id, timestamp, body),
        }  # fmt: skip
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                client.stream("POST", self._endpoint.url, content=body, headers=headers) as answer,
            ):
                read = 0
                async for part in answer.aiter_raw():
                    read += len(part)
                    if read > MAX_ANSWER_BYTES:
                        break
        except TimeoutError:
            return Failure(f"no answer within {TIMEOUT_S:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, UnicodeError) as error:
            return Failure(str(error) or type(error).__name__)
        return _failure(answer)

    async def _give_up(self, row: OutboxRow, failure: Failure) -> None:
        self._set_aside += 1
        log.error("webhook %s: message %s of %s was set aside: %s", self.name, row.n, row.conversation, failure.problem)
        await self._event_writer.call(self._event_writer.outbox.set_aside, self.name, [row])

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        if self._closing.is_set():
            await asyncio.sleep(FIRST_WAIT_S)  # until DRAIN_S are over

    def _report(self, failure: Failure | None) -> None:
        """Logged once, not at every attempt."""
        problem = failure.problem if failure and not failure.final else None
        if problem and problem != self._problem:
            log.warning("webhook %s does not receive, messages wait in the outbox: %s", self.name, problem)
        elif failure is None and self._problem:
            log.info("webhook %s receives again", self.name)
        self._problem = problem


def _failure(answer: httpx2.Response) -> Failure | None:
    status = answer.status_code
    if 200 <= status < 300:
        return None
    wait = answer.headers.get("retry-after", "")
    retry_after_s = min(float(wait), LONGEST_RETRY_AFTER_S) if wait.isascii() and wait.isdigit() else 0.0
    refused = 300 <= status < 500 and status not in TRY_AGAIN
    return Failure(f"the answer is {status} {answer.reason_phrase}".rstrip(), refused, retry_after_s)
