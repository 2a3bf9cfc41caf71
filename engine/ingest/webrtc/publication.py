"""One publisher by WHIP: its connection, its slot in the conversation, and the end of both."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiortc.sdp import SessionDescription

from engine.access.tokens import AccessError
from engine.events import SessionEnded
from engine.ingest.coalesce import CoalescedChunks
from engine.ingest.webrtc.peer import Peer, PeerConfig, PeerLimits, open_peer
from engine.media import Analyse, ChunkSource

Publish = Callable[[ChunkSource], Coroutine[Any, Any, None]]
OpenSlot = Callable[[], AbstractAsyncContextManager[Publish]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A publisher that may publish. `until_invalid` raises AccessError when its token is no longer valid."""

    open_slot: OpenSlot
    until_invalid: Callable[[], Coroutine[Any, Any, None]]
    limits: PeerLimits


class Publication:
    """One publisher, from its offer until the last event of its media is published."""

    def __init__(self, token: str, conversation: str, speaker: str, offer: SessionDescription) -> None:
        self.token = token
        self.conversation = conversation
        self.speaker = speaker
        self.ufrags = {media.ice.usernameFragment for media in offer.media if media.ice}
        self.mid = offer.media[0].rtp.muxId
        self.candidates = 0  # trickled so far
        self.tag = f'"{secrets.token_urlsafe(8)}"'
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.peer: Peer | None = None
        self.analyse: Analyse = "all"

    def end(self) -> None:
        if self.peer is not None:
            self.peer.end()

    def account(self) -> SessionEnded:
        """The totals of its connection's media."""
        peer = self.peer
        if peer is None:
            return SessionEnded(self.conversation, 0.0, 0)
        received_s, missing_s = round(peer.received_s, 4), round(peer.resampler.missing_s, 4)
        return SessionEnded(self.conversation, received_s, peer.chunks.dropped, peer.resampler.gaps, missing_s)

    async def run(
        self, offer: str, config: PeerConfig, admission: Admission, predecessor: "Publication | None"
    ) -> None:
        """Raises RefusedError and OfferError, possibly in an exception group. The caller reports them in `answer`."""
        opening = open_peer(self.speaker, config, self.analyse, admission.limits)
        async with AsyncExitStack() as stack, opening as self.peer:
            if predecessor is None:
                publish = await stack.enter_async_context(admission.open_slot())
            answer = await self.peer.answer(offer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self.peer.run(), name=f"media of {self.speaker} in {self.conversation}")
                self.answer.set_result(answer)
                if predecessor is not None:  # its last turn precedes the first of this one
                    predecessor.end()
                    await predecessor.over.wait()
                    publish = await stack.enter_async_context(admission.open_slot())
                watching = group.create_task(self._end_with_token(admission), name=f"token of {self.speaker}")
                await publish(CoalescedChunks(self.peer.chunks))
                watching.cancel()

    async def _end_with_token(self, admission: Admission) -> None:
        try:
            await admission.until_invalid()
        except AccessError as denied:
            log.info("%s is disconnected from %s: %s", self.speaker, self.conversation, denied)
            self.end()
