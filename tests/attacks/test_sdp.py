"""Offers of WebRTC that are changed in every way, and too many of them."""

import asyncio
import os
from collections import Counter

import httpx
from hypothesis import HealthCheck, Phase, given, settings

from engine.ingest.webrtc.peer import PeerConfig, open_peer
from engine.ingest.webrtc.sdp import OfferError, check_offer
from testing.odd_sdp import OFFER, odd_offers
from testing.serving import Served, bystander
from testing.whip_client import SDP

CANDIDATES = (
    "a=candidate:1 1 udp 99999999999999999999 192.0.2.77 50000 typ host",
    "a=candidate:1 0 udp 1 192.0.2.77 50000 typ host",
    "a=candidate:1 1 tcp 1 192.0.2.77 -1 typ nothing raddr rport rport x",
    "a=candidate:1 1 udp 1 not-an-address 50000 typ host",
    "a=candidate:1 1 udp 1 1.2.3.4 70000 typ host",
    "a=candidate:",
)


def test_the_text_of_an_offer_causes_no_error_but_that_for_offers_and_leaves_no_socket() -> None:
    loop = asyncio.new_event_loop()
    refusals: list[OfferError] = []
    count_files = lambda: len(os.listdir("/dev/fd"))  # noqa: E731

    async def answer(sdp: str) -> None:
        try:
            check_offer(sdp, 8)
            async with open_peer("alice", PeerConfig()) as peer:
                await peer.answer(sdp)
        except OfferError as error:
            refusals.append(error)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(odd_offers())
    def fuzz(sdp: str) -> None:
        loop.run_until_complete(answer(sdp))

    try:
        loop.run_until_complete(answer(OFFER))
        before = count_files()
        for sdp in (OFFER.replace("BUNDLE 0", "BUNDLE 9 0"), OFFER.replace("a=mid:0", "a=mid:").replace(" 0 ", "  ")):
            loop.run_until_complete(answer(sdp))
        fuzz()
        loop.run_until_complete(asyncio.sleep(0.1))
        assert count_files() <= before
        assert all(400 <= error.status < 500 and str(error).endswith(".") for error in refusals)
    finally:
        loop.close()


def some_odd_offers(number: int) -> list[str]:
    found: list[str] = []

    @settings(max_examples=number, database=None, phases=[Phase.generate], deadline=None, derandomize=True)
    @given(odd_offers())
    def gather(sdp: str) -> None:
        found.append(sdp)

    gather()
    return found


def client(server: Served, host: str) -> httpx.AsyncClient:
    """Connects from another of this machine's addresses."""
    transport = httpx.AsyncHTTPTransport(local_address=host)
    return httpx.AsyncClient(base_url=server.url, trust_env=False, transport=transport, timeout=60)


def test_odd_offers_to_a_server_are_answered_with_a_sentence(server: Served) -> None:
    offers, each = [OFFER, *some_odd_offers(40)], 8
    statuses: Counter[int] = Counter()

    async def main() -> None:
        async with bystander(server):
            for first in range(0, len(offers), each):  # few from one address, because of its rate limit
                async with client(server, f"127.0.3.{1 + first // each}") as http:
                    for sdp in offers[first : first + each]:
                        await post(http, sdp)
        assert statuses.keys() <= {201, 400, 422}, statuses
        assert min(statuses[201], statuses[400]) > 3
        server.assert_calm()

    async def post(http: httpx.AsyncClient, sdp: str) -> None:
        answer = await http.post("/whip/odd?speaker=mallory", content=sdp.encode(errors="replace"), headers=SDP)
        statuses[answer.status_code] += 1
        if answer.status_code != 201:
            assert answer.json()["message"].endswith("."), answer.text
            return
        headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": answer.headers["ETag"]}
        for candidate in CANDIDATES:
            status = (await http.patch(answer.headers["Location"], content=candidate, headers=headers)).status_code
            assert status in (204, 400), candidate
        assert (await http.delete(answer.headers["Location"])).status_code == 200

    asyncio.run(main())


def test_a_flood_of_offers_is_refused_with_the_time_to_come_back(server: Served) -> None:
    """14 per second."""
    statuses: Counter[int] = Counter()

    async def main() -> None:
        async with bystander(server), client(server, "127.0.0.2") as http:
            for number in range(70):
                answer = await http.post(f"/whip/flood-{number}?speaker=mallory", content=OFFER, headers=SDP)
                statuses[answer.status_code] += 1
                assert ("Retry-After" in answer.headers) == (answer.status_code in (429, 503)), answer.text
                await asyncio.sleep(1 / 14)
        assert statuses.keys() <= {201, 429}
        assert statuses[429] > 30
        assert 1 <= statuses[201] <= 2  # half of the conversations
        server.assert_calm()

    asyncio.run(main())
