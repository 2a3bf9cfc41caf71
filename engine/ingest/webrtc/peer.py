"""One WebRTC peer that publishes: its tracks in, audio chunks out, each with the pictures seen meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from cberl.data.pictures import to_rgb
from cberl.types import SAMPLE_RATE
from engine.ingest.arrival import ArrivalClock, FrameSampler
from engine.ingest.resampler import TrackResampler
from engine.ingest.webrtc.ice import IceServer
from engine.ingest.webrtc.jitter_buffer import replace_jitter_buffer
from engine.ingest.webrtc.sdp import MALFORMED, OfferError
from engine.media import AudioChunk, Track, VideoFrame
from engine.runtime.channel import Channel
from engine.runtime.clocks import Watchdog

CHANNEL_CHUNKS = 1250  # of a packet each, so 25 s
CHUNKS_WITH_PICTURES = 50  # when more wait, pictures are left out: they are 500 times as large
MOST_PICTURES = 8  # that wait for sound to go with
PACKET_JITTER_S = 0.01  # stamps count samples: half a packet off is a packet lost
DRAIN_S = 0.5  # for what was decoded when the peer left
QUIET_S = 1.0  # nothing for so long: whoever spoke is done
STALL_S = 0.2  # a timer that is so late says that this process was too busy to listen

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """What holds for every peer."""

    ice_servers: Sequence[IceServer] = ()
    video_fps: float = 3.0
    media_timeout_s: float = 15.0  # a peer that sends nothing for so long is gone


class Peer:
    """Use inside `open_peer`, then `run()`, while `chunks` is read by somebody."""

    def __init__(self, connection: RTCPeerConnection, speaker: str, config: PeerConfig) -> None:
        self.chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)
        self.left_out = 0  # pictures that there was no room for
        self.received_s = 0.0
        self._connection = connection
        self._track = Track("audio", speaker)
        self.sound = TrackResampler(self._track, PACKET_JITTER_S, fill=True)
        self._config = config
        self._watchdog = Watchdog(config.media_timeout_s)
        self._over = asyncio.Event()
        self._pictures: list[VideoFrame] = []
        self._tracks: list[MediaStreamTrack] = []
        self._heard_until_s = 0.0
        connection.on("track", self._tracks.append)
        connection.on("connectionstatechange", self._on_state)

    async def answer(self, offer: str) -> str:
        """The SDP that accepts `offer`. Raises `OfferError`."""
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(_passive(offer), "offer"))
            for transceiver in self._connection.getTransceivers():
                if transceiver.kind == "audio":
                    replace_jitter_buffer(transceiver.receiver)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except OperationError as error:
            raise OfferError(422, "unsupported_codec", f"The offer cannot be taken: {error}.") from error
        except (*MALFORMED, InternalError, InvalidAccessError, InvalidStateError) as error:
            raise OfferError(400, "bad_sdp", "The offer is no SDP that can be answered.") from error
        return str(self._connection.localDescription.sdp)

    async def run(self) -> None:
        """Reads every track until the peer has gone, is silent for too long, or `end()`; then `chunks` ends too."""
        first = {kind: next((it for it in self._tracks if it.kind == kind), None) for kind in ("audio", "video")}
        async with asyncio.TaskGroup() as group:
            # Received tracks queue without bound inside the library: each is read, also those that nobody wants.
            readers = [
                group.create_task(
                    (self._listen if track is first["audio"] else self._watch)(track, wanted=track in first.values()),
                    name=f"read {track.kind}",
                )
                for track in self._tracks
            ]
            await self._watchdog.wait(self._over)
            # Ends the tracks, but those that never began. Half closed it would hang whoever closes it next.
            await asyncio.shield(self._connection.close())
            if readers:
                await asyncio.wait(readers, timeout=DRAIN_S)
            for reader in readers:
                reader.cancel()
        self.chunks.close()

    def end(self) -> None:
        """No more media is taken: what has come still counts."""
        self._over.set()

    async def add_candidate(self, candidate: Any) -> None:
        """A trickled remote candidate."""
        await self._connection.addIceCandidate(candidate)

    def _on_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._over.set()

    async def _listen(self, track: MediaStreamTrack, *, wanted: bool) -> None:
        sound = self.sound
        clock = ArrivalClock()
        now = asyncio.get_running_loop().time
        quiet, stood_still_s = False, 0.0
        while True:
            since = now()
            try:
                async with asyncio.timeout(None if quiet else QUIET_S):
                    frame: Any = await track.recv()
            except TimeoutError:
                if now() - since > QUIET_S + STALL_S:  # it was us who stood still: what came meanwhile follows now
                    stood_still_s += now() - since
                    continue
                quiet = True
                for chunk in sound.quiet(QUIET_S):
                    self._offer(chunk)
                continue
            except MediaStreamError:
                break
            quiet = False
            self._watchdog.feed()
            for chunk in sound.push(clock.place(frame.time, now() - stood_still_s), frame):
                self._offer(chunk)
        for chunk in sound.flush():
            self._offer(chunk)
        self._over.set()

    async def _watch(self, track: MediaStreamTrack, *, wanted: bool) -> None:
        """Pictures have no clock in common with the sound: they belong to what is heard when they come."""
        sampler = FrameSampler(self._config.video_fps)
        now = asyncio.get_running_loop().time
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self._watchdog.feed()
            if not wanted or track.kind != "video" or not sampler.wants(now()):
                continue
            if len(self.chunks) > CHUNKS_WITH_PICTURES or len(self._pictures) >= MOST_PICTURES:
                self.left_out += 1
                continue
            rgb = await asyncio.to_thread(to_rgb, frame)
            self._pictures.append(VideoFrame(self._track, self._heard_until_s, rgb))

    def _offer(self, chunk: AudioChunk) -> None:
        if self._pictures:
            chunk = replace(chunk, frames=tuple(self._pictures))
            self._pictures.clear()
        self._heard_until_s = chunk.end_s
        self.received_s += len(chunk.pcm) / SAMPLE_RATE
        self.chunks.offer(chunk)


def _passive(offer: str) -> str:
    """The offer as from one who wants to begin the DTLS handshake, if it leaves that open (RFC 9725, section 4.4).

    aiortc would begin it otherwise, and then take no certificate but an ECDSA one; GStreamer's is RSA.
    """
    return offer.replace("a=setup:actpass", "a=setup:active")


@asynccontextmanager
async def open_peer(speaker: str, config: PeerConfig) -> AsyncIterator[Peer]:
    """A peer that only receives; closed on exit."""
    connection = RTCPeerConnection(
        RTCConfiguration(
            iceServers=[server.for_peer() for server in config.ice_servers],
            bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
        )
    )
    try:
        yield Peer(connection, speaker, config)
    finally:
        await connection.close()
        connection.remove_all_listeners()
