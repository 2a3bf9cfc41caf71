"""One WebRTC peer that publishes: its tracks in, audio chunks out, with the video frames received since the last."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from cberl.data.pictures import to_rgb
from cberl.types import SAMPLE_RATE
from engine.ingest.arrival import ArrivalClock
from engine.ingest.resampler import TrackResampler
from engine.ingest.webrtc._aiortc_compat import (
    JitterBufferLike,
    bound_video_decoders,
    close_connection,
    read_packets_that,
    replace_jitter_buffer,
)
from engine.ingest.webrtc.ice import IceServer, reachable
from engine.ingest.webrtc.jitter_buffer import JitterBuffer
from engine.ingest.webrtc.sdp import OfferError
from engine.ingest.webrtc.video import ChargeDecoding, Unused, VideoBuffer
from engine.media import Analyse, AudioChunk, Track, VideoFrame
from engine.runtime.channel import Channel
from engine.runtime.clocks import Watchdog

CHANNEL_CHUNKS = 1250  # one packet each, so 25 s
MAX_CHUNKS_WITH_FRAMES = 50  # when more are queued, video frames are skipped: they are 500 times as large
MAX_FRAMES = 8  # that wait for the next chunk of audio
PACKET_JITTER_S = 0.01  # timestamps count samples: half a packet off means a lost packet
DRAIN_S = 0.5  # for what is decoded already when the peer leaves
ANSWER_WITHIN_S = 10.0
QUIET_S = 1.0  # without a packet, after which the speaker counts as silent
STALL_S = 0.2  # a timer this late means that this process did not run, not that no packet came

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """Settings of all peers."""

    ice_servers: Sequence[IceServer] = ()
    video_fps: float = 3.0
    media_timeout_s: float = 15.0  # without media, after which a peer counts as gone
    require_consent: bool = False


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What a peer's client may take.

    `charge_decoding` is called with the time that video has taken to decode, and returns for how many seconds no more
    may be decoded. `allow_packet` is called with the size of a packet in bytes; where it is false, that is dropped.
    """

    charge_decoding: ChargeDecoding = lambda took_s: 0.0
    allow_packet: Callable[[int], bool] = lambda size: True


class Peer:
    """From `open_peer`. `run()` fills `chunks`, which must be read meanwhile."""

    def __init__(
        self,
        connection: RTCPeerConnection,
        speaker: str,
        config: PeerConfig,
        analyse: Analyse = "all",
        limits: PeerLimits = PeerLimits(),
    ) -> None:
        self.chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)
        self.skipped_frames = 0  # of video, for lack of room
        self.received_s = 0.0
        self._connection = connection
        self._track = Track("audio", speaker, analyse=analyse)
        self.resampler = TrackResampler(self._track, PACKET_JITTER_S, fill=True)
        self._config = config
        self._limits = limits
        self._watchdog = Watchdog(config.media_timeout_s)
        self._over = asyncio.Event()
        self._frames: list[VideoFrame] = []
        self._tracks: list[MediaStreamTrack] = []
        self._end_s = 0.0
        connection.on("track", self._tracks.append)
        connection.on("connectionstatechange", self._on_state)

    async def answer(self, offer: str) -> str:
        """The SDP that accepts `offer`. Raises OfferError, and OSError where no sockets can be opened."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._answer(offer)
        except OperationError as error:
            raise OfferError(422, "unsupported_codec", f"The offer cannot be answered: {error}.") from error
        except TimeoutError as error:  # each candidate with a name is looked up
            raise OfferError(400, "bad_sdp", f"The offer takes more than {ANSWER_WITHIN_S:.0f} s to answer.") from error
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - aiortc has no error type for text that it does not expect
            log.debug("an offer cannot be answered", exc_info=True)
            raise OfferError(400, "bad_sdp", "The offer is not SDP that can be answered.") from error
        return str(self._connection.localDescription.sdp)

    async def _answer(self, offer: str) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(_passive(offer), "offer"))
        video = VideoBuffer(self._config.video_fps, self._limits.charge_decoding)
        buffers: dict[str, JitterBufferLike] = {"audio": JitterBuffer(), "video": video}
        for receiver in (transceiver.receiver for transceiver in self._connection.getTransceivers()):
            used = receiver.track in self._used.values()
            replace_jitter_buffer(receiver, buffers[receiver.track.kind] if used else Unused())
        read_packets_that(self._limits.allow_packet, self._connection)
        await self._connection.setLocalDescription(await self._connection.createAnswer())

    async def run(self) -> None:
        """Read audio and video until the peer leaves, sends no media for too long, or `end()`; then close `chunks`."""
        read = {"audio": self._listen, "video": self._watch}
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read[kind](track), name=f"read {kind}") for kind, track in self._used.items()]
            await self._watchdog.wait(self._over)
            # Ends the tracks, except those that never started. Interrupted, it would make the next close hang.
            await asyncio.shield(close_connection(self._connection))
            if readers:
                await asyncio.wait(readers, timeout=DRAIN_S)
            for reader in readers:
                reader.cancel()
        self.chunks.close()

    def end(self) -> None:
        """Accept no more media. What has arrived is still delivered."""
        self._over.set()

    async def add_candidate(self, candidate: Any) -> None:
        """A candidate that came after the offer. Raises OfferError."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._connection.addIceCandidate(candidate)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            raise OfferError(400, "bad_sdp", "This ICE candidate cannot be used.") from error

    @property
    def _used(self) -> dict[str, MediaStreamTrack]:
        """The first track of each kind. Others are neither decoded nor read."""
        return {track.kind: track for track in reversed(self._tracks)}

    def _on_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._over.set()

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = self.resampler
        clock = ArrivalClock()
        now = asyncio.get_running_loop().time
        quiet, stalled_s = False, 0.0
        while True:
            since = now()
            try:
                async with asyncio.timeout(None if quiet else QUIET_S):
                    frame: Any = await track.recv()
            except TimeoutError:
                if now() - since > QUIET_S + STALL_S:  # this process stalled: the packets of that time follow now
                    stalled_s += now() - since
                    continue
                quiet = True
                for chunk in resampler.quiet(QUIET_S):
                    self._offer(chunk)
                continue
            except MediaStreamError:
                break
            quiet = False
            self._watchdog.feed()
            if self._track.analyse == "none":
                continue
            for chunk in resampler.push(clock.place(frame.time, now() - stalled_s), frame):
                self._offer(chunk)
        for chunk in resampler.flush():
            self._offer(chunk)
        self._over.set()

    async def _watch(self, track: MediaStreamTrack) -> None:
        """Video has no clock in common with the audio: a frame belongs to the audio that arrives at the same time."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self._watchdog.feed()
            if self._track.analyse != "all":
                continue
            if len(self.chunks) > MAX_CHUNKS_WITH_FRAMES or len(self._frames) >= MAX_FRAMES:
                self.skipped_frames += 1
                continue
            rgb = await asyncio.to_thread(to_rgb, frame)
            self._frames.append(VideoFrame(self._track, self._end_s, rgb))

    def _offer(self, chunk: AudioChunk) -> None:
        if self._frames:
            chunk = replace(chunk, frames=tuple(self._frames))
            self._frames.clear()
        self._end_s = chunk.end_s
        self.received_s += len(chunk.pcm) / SAMPLE_RATE
        self.chunks.offer(chunk)


def _passive(offer: str) -> str:
    """The offer with the DTLS role "active", if it leaves the role open, so that the peer starts the handshake.

    RFC 9725, section 4.4. Otherwise aiortc would start it, and then accept ECDSA certificates only; GStreamer's is RSA.
    """
    return offer.replace("a=setup:actpass", "a=setup:active")


@asynccontextmanager
async def open_peer(
    speaker: str,
    config: PeerConfig,
    analyse: Analyse = "all",
    limits: PeerLimits = PeerLimits(),
) -> AsyncIterator[Peer]:
    """A connection that only receives; closed on exit."""
    bound_video_decoders()
    connection = RTCPeerConnection(
        RTCConfiguration(
            iceServers=await reachable(config.ice_servers),
            bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
        )
    )
    try:
        yield Peer(connection, speaker, config, analyse, limits)
    finally:
        await close_connection(connection)
        connection.remove_all_listeners()
