"""`async for event in subscribe(url, conversation)`: comes back by itself and goes on where it was."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from cberl_client.address import socket_url
from cberl_client.backoff import Backoff
from cberl_client.errors import RefusedError
from cberl_client.events import Error, Message, decode
from cberl_client.resume_cursor import ALL, ResumeCursor

LARGEST_BYTES = 16 << 20

log = logging.getLogger(__name__)


async def subscribe(
    url: str,
    conversation: str,
    *,
    after_seq: int | None = None,
    numbering: str = "",
    backoff: Backoff | None = None,
    **options: Any,
) -> AsyncGenerator[Message, None]:
    """First a `Snapshot`; then every event after `after_seq` (None: from now on), once and in order, for ever.

    Connections that break are made again, and nothing is lost that the engine still has; where it has not, a `Resync`
    and another `Snapshot` come. `numbering` is that of an earlier `Snapshot`, where `after_seq` is from then.
    `conversation` "*" is all of them, live only. `options` go to `websockets.connect`.
    Raises RefusedError where the engine says no, and ClientError where `url` is no engine's.
    """
    cursor, backoff = ResumeCursor(conversation, after_seq, numbering), backoff or Backoff()
    while True:
        resume = None if conversation == ALL else cursor.last_seq
        address = socket_url(url, "/events", conversation=conversation, resume_from_seq=resume)
        try:
            async with connect(address, **({"max_size": LARGEST_BYTES} | options)) as socket:
                async for text in socket:
                    message = decode(text)
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
