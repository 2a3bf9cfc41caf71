"""The WHIP endpoint over real HTTP, with the counting engine."""

import asyncio

import httpx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.ingest.webrtc.sdp import OfferError, check_offer
from testing.counting import running
from testing.whip_client import SDP, Voice, offer_of, peer, publishing


def voice():
    return Voice(np.full(16_000, 0.25, np.float32))


async def browser_offer():
    client = peer(voice())
    try:
        return await offer_of(client)
    finally:
        await client.close()


OFFER = asyncio.run(browser_offer())
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.77 50000 typ host"


def client(url):
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)


def without(text):
    return "".join(line for line in OFFER.splitlines(keepends=True) if text not in line)


NO_AUDIO = OFFER.replace("a=sendonly", "a=recvonly")
NO_CODEC = (
    "".join(
        line for line in without("a=fmtp").splitlines(keepends=True) if not line.startswith(("a=rtpmap", "a=rtcp-fb"))
    )
    .replace("RTP/SAVPF", "RTP/SAVPF 120")
    .replace("a=sendonly", "a=sendonly\r\na=rtpmap:120 speex/16000")
)

BAD = [
    ("/whip/demo?speaker=alice&analyse=some", SDP, OFFER, 400, "bad_request"),
    ("/whip/demo?speaker=alice&consent=maybe", SDP, OFFER, 400, "bad_request"),
    ("/whip/a%2Fb?speaker=alice", SDP, OFFER, 405, None),
    ("/whip/a%23b?speaker=alice", SDP, OFFER, 400, "bad_name"),
    ("/whip/*?speaker=alice", SDP, OFFER, 400, "bad_name"),
    ("/whip/demo", SDP, OFFER, 400, "bad_name"),
    ("/whip/demo?speaker=a%2Bb", SDP, OFFER, 400, "bad_name"),
    ("/whip/demo?speaker=alice", {"Content-Type": "text/plain"}, OFFER, 415, "unsupported_media_type"),
    ("/whip/demo?speaker=alice", SDP, "", 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, b"\xff\xfe", 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, "v=0\r\nm=audio", 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, "v=0\r\n", 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, OFFER + "a=candidate:" + "x" * 70_000, 413, "too_large"),
    ("/whip/demo?speaker=alice", SDP, OFFER + f"{CANDIDATE}\r\n" * 65, 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, without("a=fingerprint"), 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, without("a=ice-ufrag"), 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, without("a=rtcp-mux"), 400, "bad_sdp"),
    ("/whip/demo?speaker=alice", SDP, NO_AUDIO, 422, "no_audio"),
    ("/whip/demo?speaker=alice", SDP, NO_CODEC, 422, "unsupported_codec"),
    ("/whip/demo?speaker=alice", SDP, OFFER.replace("m=audio", "m=text"), 422, "unsupported_kind"),
    ("/whip/demo?speaker=mallory", SDP, OFFER, 503, "full"),
    ("/whip/demo?speaker=alice", SDP | {"Origin": "https://evil.example"}, OFFER, 403, "forbidden_origin"),
]


def test_a_bad_offer_is_answered_and_does_not_affect_others():
    async def main():
        async with running() as (engine, url), client(url) as http, publishing(url, "demo", "bob", voice()) as good:
            for path, headers, body, status, code in BAD:
                answer = await http.post(path, headers=headers, content=body)
                assert answer.status_code == status, (path, body[:40], answer.text)
                if code:
                    assert (answer.json()["type"], answer.json()["code"]) == ("error", code)
                    assert answer.json()["message"].endswith(".")
                assert ("Retry-After" in answer.headers) == (status == 503)
            assert engine.taken == {"bob"}
            before = engine.heard_s
            await until(lambda: engine.heard_s > before + 0.5)
            for method, allowed in (("GET", "/whip/demo"), ("PUT", "/whip/demo"), ("POST", good.location)):
                assert (await http.request(method, allowed)).status_code == 405
            assert (await http.options("/whip/demo")).headers["Accept-Post"] == "application/sdp"
            await good.hang_up()
            assert engine.taken == set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_media_that_may_not_be_analysed_goes_no_further_and_consent_may_be_required():
    async def main():
        async with running(require_consent=True) as (engine, url), client(url) as http:
            refused = await http.post("/whip/demo?speaker=alice", headers=SDP, content=OFFER)
            assert (refused.status_code, refused.json()["code"]) == (403, "consent_required")
            for query, some in ({"analyse": "none"}, False), ({"consent": "true"}, True):
                said = voice()
                async with publishing(url, "demo", "alice", said, **query) as published:
                    await said.said.wait()
                    assert ((await published.hang_up())["received_s"] > 0) == some
                assert (engine.heard_s > 0) == some

    asyncio.run(main())


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the counting engine has no event for this
        await asyncio.sleep(0.01)


def test_a_name_belongs_to_one_publisher_until_it_leaves_or_resumes_with_its_token():
    async def main():
        servers = "stun:stun.example:3478 turn:me:secret@turn.example:3478?transport=udp"
        async with running(ice_servers=servers) as (engine, url), client(url) as http:
            async with publishing(url, "demo", "alice", voice()) as first:
                assert first.answer.headers.get_list("Link") == [
                    '<stun:stun.example:3478>; rel="ice-server"',
                    '<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="me"; credential="secret"; '
                    'credential-type="password"',
                ]
                taken = await http.post("/whip/demo?speaker=alice", content=OFFER, headers=SDP)
                assert (taken.status_code, taken.json()["code"]) == (409, "speaker_taken")
                stolen = f"/whip/demo?speaker=bob&resume={first.token}"
                assert (await http.post(stolen, content=OFFER, headers=SDP)).status_code == 409
                await until(lambda: engine.heard_s > 0.2)
                async with publishing(url, "demo", "alice", voice(), resume=first.token) as second:
                    assert second.location == first.location
                    heard_s = engine.heard_s
                    await until(lambda: engine.heard_s > heard_s + 0.2)
                    assert engine.taken == {"alice"}
                    await second.hang_up()
            assert (await http.delete(first.location)).status_code == 404
            async with publishing(url, "demo", "alice", voice(), resume=first.token) as third:
                assert third.token != first.token  # the old session is over: a new one
                heard_s = engine.heard_s
                await until(lambda: engine.heard_s > heard_s)
                await third.hang_up()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    # No STUN server answers here: gathering candidates gives up by itself.
    asyncio.run(main())


def test_only_pages_of_the_allowed_origin_may_publish():
    async def main():
        async with running(allow_origin="https://good.example") as (_, url), client(url) as http:
            for origin, allowed in (("https://good.example", True), ("https://evil.example", False)):
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                asked["Access-Control-Request-Headers"] = "content-type"
                preflight = await http.options("/whip/demo?speaker=alice", headers=asked)
                assert (preflight.status_code, "access-control-allow-origin" in preflight.headers) == (
                    (200, True) if allowed else (403, False)
                )
            good = SDP | {"Origin": "https://good.example"}
            answer = await http.post("/whip/demo?speaker=alice", content=OFFER, headers=good)
            assert answer.headers["access-control-allow-origin"] == "https://good.example"
            assert "Location" in answer.headers["access-control-expose-headers"]
            assert (await http.delete(answer.headers["Location"], headers=good)).status_code == 200

    asyncio.run(main())


def test_trickled_candidates_are_accepted_and_an_ice_restart_is_refused():
    async def main():
        async with running() as (_, url), client(url) as http, publishing(url, "demo", "alice", voice()) as session:
            tag = {"If-Match": session.answer.headers["ETag"]}
            ufrag = next(it for it in session.connection.localDescription.sdp.splitlines() if "ice-ufrag" in it)
            for headers, body, status in (
                (
                    FRAGMENT | tag,
                    f"{ufrag}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{CANDIDATE}\r\na=end-of-candidates",
                    204,
                ),
                (FRAGMENT, CANDIDATE, 428),
                (FRAGMENT | {"If-Match": '"other"'}, CANDIDATE, 412),
                (FRAGMENT | {"If-Match": "*"}, "a=ice-ufrag:new\r\na=ice-pwd:new", 422),
                (FRAGMENT | tag, "a=candidate:nonsense", 400),
                (FRAGMENT | tag, "hello", 400),
                (FRAGMENT | tag, f"{CANDIDATE}\r\n" * 65, 422),
                (SDP | tag, OFFER, 415),
            ):
                answer = await http.patch(session.location, content=body, headers=headers)
                assert answer.status_code == status, body
            assert (await http.patch("/whip/demo/unknown", content=CANDIDATE, headers=FRAGMENT)).status_code == 404
            assert (await http.delete(session.location.replace("demo", "other"))).status_code == 404
            await session.hang_up()

    asyncio.run(main())


def test_shutdown_ends_publishers_and_publishes_their_last_turns():
    async def main():
        async with running() as (engine, url), publishing(url, "demo", "alice", voice()):
            await until(lambda: engine.heard_s > 0.3)
        snapshot = engine.hub.snapshot("demo")
        assert snapshot.speakers[0].current is not None  # the turn under way came out
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_no_offer_raises_another_error():
    lines = OFFER.splitlines(keepends=True)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        st.lists(st.sampled_from(range(len(lines))), max_size=6),
        st.lists(st.tuples(st.sampled_from(range(len(lines))), st.integers(0, 40), st.text(max_size=8)), max_size=4),
    )
    def broken(dropped, changed):
        mutated = list(lines)
        for at, cut, text in changed:
            mutated[at] = mutated[at][:cut] + text + mutated[at][cut + 1 :]
        try:
            check_offer("".join(line for at, line in enumerate(mutated) if at not in dropped), max_tracks=8)
        except OfferError as refused:
            statuses.add(refused.status)

    statuses = set()
    broken()
    assert {400, 422} >= statuses >= {400}
