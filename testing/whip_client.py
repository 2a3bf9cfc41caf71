"""A WHIP client based on aiortc, which sends a given signal and pictures in real time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from cberl.types import SAMPLE_RATE, Float32

PACKET = SAMPLE_RATE // 50  # samples in 20 ms
Picture = NDArray[np.uint8]
SDP = {"Content-Type": "application/sdp"}


class Voice(MediaStreamTrack):
    """Sends `pcm`, float32[n] at 16 kHz, then silence. `said` is set at the end of `pcm`.

    While `flowing` is not set, no packet is sent and media time stops.
    """

    kind = "audio"

    def __init__(self, pcm: Float32) -> None:
        super().__init__()
        self.said = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._pcm = (np.clip(pcm, -1, 1) * 32_767).astype("<i2")
        self._at = 0
        self._began: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if not self.flowing.is_set():
            await self.flowing.wait()
            self._began = time.monotonic() - self._at / SAMPLE_RATE
        self._began = time.monotonic() if self._began is None else self._began
        await asyncio.sleep(self._began + self._at / SAMPLE_RATE - time.monotonic())
        samples = self._pcm[self._at : self._at + PACKET]
        frame = av.AudioFrame.from_ndarray(np.pad(samples, (0, PACKET - len(samples)))[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._at, Fraction(1, SAMPLE_RATE)
        self._at += PACKET
        if self._at >= len(self._pcm):
            self.said.set()
        return frame


class Camera(MediaStreamTrack):
    """Sends RGB pictures uint8[h, w, 3], ten per second, and ends after the last."""

    kind = "video"

    def __init__(self, pictures: Iterable[Picture]) -> None:
        super().__init__()
        self._pictures = iter(pictures)
        self._number = 0
        self._began: float | None = None

    async def recv(self) -> av.VideoFrame:
        picture = next(self._pictures, None)
        if picture is None:
            self.stop()
        if picture is None or self.readyState != "live":
            raise MediaStreamError
        self._began = time.monotonic() if self._began is None else self._began
        await asyncio.sleep(self._began + self._number / 10 - time.monotonic())
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._number * 9_000, Fraction(1, 90_000)
        self._number += 1
        return frame


def plain(colour: tuple[int, int, int], width: int = 320, height: int = 240) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def peer(*tracks: MediaStreamTrack) -> RTCPeerConnection:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks:
        connection.addTransceiver(track, direction="sendonly")
    return connection


async def offer_of(connection: RTCPeerConnection) -> str:
    await connection.setLocalDescription(await connection.createOffer())
    return connection.localDescription.sdp


class Published:
    """An accepted publisher. `location` is the address of its session."""

    def __init__(self, connection: RTCPeerConnection, http: httpx.AsyncClient, answer: httpx.Response) -> None:
        self.connection = connection
        self.answer = answer
        self.location = answer.headers["Location"]
        self.token = self.location.rpartition("/")[2]
        self._http = http

    async def hang_up(self) -> dict[str, Any]:
        """End the session; return the account of its media once the event of the last turn is published."""
        account: dict[str, Any] = (await self._http.delete(self.location, timeout=60)).raise_for_status().json()
        return account


@asynccontextmanager
async def publishing(
    url: str,
    conversation: str,
    speaker: str,
    *tracks: MediaStreamTrack,
    resume: str | None = None,
    token: str | None = None,
    **query: str,
) -> AsyncIterator[Published]:
    """Post an offer; close the connection on exit, without a DELETE (see `hang_up`). Raises httpx.HTTPStatusError."""
    query |= {"speaker": speaker} | ({"resume": resume} if resume else {})
    connection = peer(*tracks)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, trust_env=False, headers=headers) as http:
        try:
            offer = await offer_of(connection)
            answer = await http.post(f"/whip/{conversation}", params=query, content=offer, headers=SDP, timeout=60)
            answer.raise_for_status()
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            yield Published(connection, http, answer)
        finally:
            await connection.close()
            for track in tracks:
                track.stop()
