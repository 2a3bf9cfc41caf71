"""`async for event in subscribe(url, conversation)`: reconnects, and resumes after the last event."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from cberl_client.address import connect_options, socket_url
from cberl_client.backoff import Backoff
from cberl_client.errors import RefusedError
from cberl_client.events import Error, Message, decode
from cberl_client.resume_cursor import ALL, ResumeCursor

log = logging.getLogger(__name__)


async def subscribe(
    url: str,
    conversation: str,
    *,
    after_seq: int | None = None,
    numbering: str = "",
    backoff: Backoff | None = None,
    token: str | None = None,
    **options: Any,
) -> AsyncGenerator[Message, None]:
    """Yield a `Snapshot`, then every event after `after_seq` (None: from now on), once and in order, without end.

    Lost connections are opened again and resumed. Where the engine no longer has the events in between, a `Resync` and
    another `Snapshot` follow. Pass the `numbering` of the `Snapshot` that `after_seq` belongs to, if it is from an
    earlier run. The conversation "*" stands for all of them, live events only. `token` is one of `cberl token`;
    without it, that of the environment variable CBERL_TOKEN. `options` are those of `websockets.connect`. Raises
    RefusedError where the engine refuses the request, ClientError where `url` is invalid.
    """
    cursor, backoff = ResumeCursor(conversation, after_seq, numbering), backoff or Backoff()
    while True:
        resume = None if conversation == ALL else cursor.last_seq
        address = socket_url(url, "/events", conversation=conversation, resume_from_seq=resume)
        try:
            async with connect(address, **connect_options(token, options)) as socket:
                async for text in socket:
                    message = decode(text)
                    if isinstance(message, Error) and message.code == "too_many":
                        log.info("%s: %s", url, message.message)
                        break
                    if isinstance(message, Error) and message.fatal:
                        raise RefusedError(message.code, message.message)
                    backoff.reset()
                    for news in cursor.take(message):
                        yield news
                    if cursor.void:
                        break
        except InvalidStatus as answer:
            status = answer.response.status_code
            if 400 <= status < 500 and status not in (408, 429):
                raise RefusedError(str(status), f"{url} answers {status} to a subscriber.") from answer
            log.info("%s: %s", url, answer)
        except (OSError, EOFError, TimeoutError, WebSocketException) as error:
            log.info("%s: %s", url, error)
        await asyncio.sleep(backoff.next_s())
