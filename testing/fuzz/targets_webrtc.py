"""Bytes of WebRTC clients: offers and ICE candidates; addresses of ICE servers."""

from collections.abc import Iterator
from pathlib import Path

from engine.ingest.webrtc.ice import parse_ice_servers
from engine.ingest.webrtc.sdp import OfferError, check_offer
from engine.ingest.webrtc.trickle import parse_trickle
from testing.fuzz.runner import Inputs, target

OFFER = Path(__file__).with_name("offer.sdp").read_bytes()  # of a browser: audio and video


@target(10)
def sdp(folder: Path) -> Iterator[Inputs]:
    tokens = [b"\r\na=", b":", b"audio", b"video", b"sendrecv", b"inactive", b"BUNDLE", b"sha-256", b"opus/48000/2"]
    tokens += OFFER.splitlines(keepends=True)
    yield Inputs([OFFER], lambda data: check_offer(data.decode(errors="replace"), 8), (OfferError,), tokens)


@target(100)
def ice_candidates(folder: Path) -> Iterator[Inputs]:
    seeds = [
        b"a=ice-ufrag:abcd\r\na=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host generation 0\r\n",
        b"a=candidate:2 1 tcp 1 2001:db8::1 9 typ relay raddr 192.0.2.1 rport 8 tcptype active\r\n"
        b"a=end-of-candidates\r\n",
    ]

    def parse(data: bytes) -> None:
        for candidate in parse_trickle(data.decode(errors="replace")).candidates:
            assert 0 <= candidate.port <= 65_535

    tokens = [b"a=candidate:", b"typ", b"raddr", b"rport", b"tcptype", b"65536", b"-1", b"a=ice-ufrag:"]
    yield Inputs(seeds, parse, (OfferError,), tokens)


@target(100)
def ice_servers(folder: Path) -> Iterator[Inputs]:
    def parse(data: bytes) -> None:
        for server in parse_ice_servers(data.decode(errors="replace")):
            server.link()

    seeds = [b"stun:stun.example:3478", b"turn:me:secret@turn.example:3478?transport=udp turns:a:b@turn.example:5349"]
    yield Inputs(seeds, parse, (ValueError,), [b"stun:", b"turn:", b"@", b"?transport=tcp", b"[::1]", b"]"])
