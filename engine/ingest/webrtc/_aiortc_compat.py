"""All uses of what aiortc does not document. Checked with the version in constraints.txt."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from aiortc import RTCPeerConnection, RTCRtpReceiver, rtcrtpreceiver
from aiortc.codecs import CODECS, get_decoder, is_rtx
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from aiortc.sdp import MediaDescription

from engine.errors import EngineError
from engine.ingest.webrtc.video import BoundedDecoder

# What aiortc raises for text that is no SDP, or not the SDP that it expects: it has no error type for that.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, StopIteration, RuntimeError)

JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"  # RTCRtpReceiver offers no other way to choose one
RECEIVE = "_recv"  # of an ICE transport
GET_DECODER = "get_decoder"  # RTCRtpReceiver has no parameter for decoders either
VIDEO_DECODERS = {"video/vp8": "vp8", "video/h264": "h264"}  # of FFmpeg
# A closed connection is a reference cycle, with 1,000 objects more per video track as long as it has this: most of what
# full garbage collections had to visit, which stop the engine.
BITRATE_ESTIMATOR = "_RTCRtpReceiver__remote_bitrate_estimator"
ICE_TRANSPORTS, IS_CLOSED = "_RTCPeerConnection__iceTransports", "_RTCPeerConnection__isClosed"


class AiortcVersionError(EngineError):
    """The installed version of aiortc does not work as expected here."""


class JitterBufferLike(Protocol):
    """What RTCRtpReceiver calls with each packet: returns (whether to request a key frame, the next frame or None)."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]: ...


def replace_jitter_buffer(receiver: RTCRtpReceiver, jitter_buffer: JitterBufferLike) -> None:
    """Before the first packet. Raises AiortcVersionError."""
    if not hasattr(receiver, JITTER_BUFFER):
        raise AiortcVersionError("this version of aiortc has no jitter buffer to replace: see constraints.txt")
    setattr(receiver, JITTER_BUFFER, jitter_buffer)


def read_packets_that(allowed: Callable[[int], bool], connection: RTCPeerConnection) -> None:
    """Packets of which `allowed`, called with their size in bytes, is false are dropped, before they are decrypted.

    Raises AiortcVersionError.
    """
    for transport in getattr(connection, ICE_TRANSPORTS):
        if not hasattr(transport, RECEIVE):
            raise AiortcVersionError("this version of aiortc has no packets to limit: see constraints.txt")
        setattr(transport, RECEIVE, partial(_receive, getattr(transport, RECEIVE), allowed))


async def _receive(receive: Callable[[], Awaitable[bytes]], allowed: Callable[[int], bool]) -> bytes:
    while not allowed(len(packet := await receive())):
        pass
    return packet


def bound_video_decoders() -> None:
    """From now on, aiortc decodes video with `BoundedDecoder`. May be called again. Raises AiortcVersionError."""
    if not hasattr(rtcrtpreceiver, GET_DECODER):
        raise AiortcVersionError("this version of aiortc has no video decoders to limit: see constraints.txt")
    setattr(rtcrtpreceiver, GET_DECODER, _decoder)


def _decoder(codec: RTCRtpCodecParameters) -> Any:
    video = VIDEO_DECODERS.get(codec.mimeType.lower())
    return BoundedDecoder(video) if video else get_decoder(codec)


async def close_connection(connection: RTCPeerConnection) -> None:
    """Close it. May be called again.

    Where an offer has left it half-made, aiortc's `close` fails before it has closed its sockets, and a second call
    would wait for the first for ever.
    """
    try:
        await connection.close()
    except MALFORMED:
        for transport in list(getattr(connection, ICE_TRANSPORTS)):
            await transport.stop()
        if not (closed := getattr(connection, IS_CLOSED)).done():
            closed.set_result(True)
    finally:
        for transceiver in connection.getTransceivers():
            setattr(transceiver.receiver, BITRATE_ESTIMATOR, None)


def encoded_frame(packet: RtpPacket) -> JitterFrame:
    """The frame of audio in one packet, after aiortc has removed the packet's headers."""
    return JitterFrame(packet._data, packet.timestamp)  # type: ignore[attr-defined]


def has_common_codec(media: MediaDescription) -> bool:
    """Whether setRemoteDescription will find a codec for this media section. Raises one of MALFORMED."""
    return not all(is_rtx(codec) for codec in find_common_codecs(CODECS[media.kind], media.rtp.codecs))
