import asyncio
import random
import subprocess
import sys
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from cberl_client import Backoff, ClientError, EmotionEvent, RefusedError, Resync, Snapshot, subscribe, sync

from testing.counting import running, utterance
from testing.scissors import Scissors

CUTS = 200
CLIENT = Path(__file__).parents[3] / "clients" / "python"


def quickly():
    return Backoff(first_s=0.001, longest_s=0.01, seed=0)


@pytest.mark.timeout(300)
def test_after_two_hundred_disconnects_nothing_is_lost_and_nothing_repeated():
    """Cut anywhere: in the handshake, in the middle of an event, between two. Events go on meanwhile."""
    chance = random.Random(0)
    lengths = [chance.choice([chance.randrange(1, 200), chance.randrange(200, 6000)]) for _ in range(CUTS)]

    async def main():
        async with running() as (engine, url):
            scissors = Scissors(url, lengths)
            async with (
                scissors.open() as cut_url,
                aclosing(subscribe(cut_url, "demo", after_seq=0, backoff=quickly(), proxy=None)) as events,
            ):
                published, received = 0, []
                engine.hub.open("demo")
                async for event in events:
                    received += [event.seq] if hasattr(event, "seq") else []
                    assert not isinstance(event, Resync)
                    if isinstance(event, EmotionEvent) and event.text == "last":
                        break
                    while published - len(received) < 20:  # what the ring holds, however slow this machine is
                        text = "last" if scissors.cuts == CUTS else "hi"
                        published = engine.hub.publish(utterance(text=text))
                        if text == "last":
                            break
            assert scissors.cuts == CUTS
            assert received == list(range(1, len(received) + 1))
            assert len(received) > CUTS

    asyncio.run(main())


def test_what_the_engine_has_no_more_is_a_resync_with_how_things_stand():
    async def main():
        async with running(replay_events=3) as (engine, url):
            for _ in range(9):
                engine.hub.publish(utterance())
            async with aclosing(subscribe(url, "demo", after_seq=2, proxy=None)) as events:
                heard = [await anext(events) for _ in range(6)]
            snapshot, resync = heard[:2]
            assert (resync.requested_seq, resync.last_seq) == (2, 7)
            assert heard[2] == snapshot
            assert [event.seq for event in heard[3:]] == [8, 9, 10]
            assert snapshot.speakers[0].current.emotion == "joy"

    asyncio.run(main())


def test_an_engine_that_counts_anew_is_noticed_however_far_it_got(tmp_path):
    async def texts_of_two_engines(*options):
        heard = []
        scissors = Scissors("http://127.0.0.1:1", [])
        async with (
            scissors.open() as url,
            aclosing(subscribe(url, "demo", after_seq=0, backoff=quickly(), proxy=None)) as events,
        ):
            for texts, flags in zip(("ab", "cdef"), options, strict=True):
                async with running(**flags) as (engine, engine_url):
                    for text in texts:
                        engine.hub.publish(utterance(text=text))
                    await engine.hub.flush()
                    scissors.lead_to(engine_url)
                    async for event in events:
                        heard += [event.text] if isinstance(event, EmotionEvent) else []
                        heard += ["resync"] if isinstance(event, Resync) else []
                        if heard[-1:] == [texts[-1]]:
                            break
        return heard

    kept = {"keep_text": True, "event_log": str(tmp_path / "log")}
    assert asyncio.run(texts_of_two_engines({}, {})) == ["a", "b", "resync", "c", "d", "e", "f"]
    assert asyncio.run(texts_of_two_engines(kept, kept)) == ["a", "b", "c", "d", "e", "f"]  # a log counts on


def test_a_no_is_not_asked_again():
    async def main():
        async with running() as (_, url):
            with pytest.raises(RefusedError, match="may not contain '/'") as refused:
                await anext(subscribe(url, "a/b", proxy=None))
            assert refused.value.code == "bad_name"
            with pytest.raises(RefusedError, match="answers 40"):
                await anext(subscribe(url + "/elsewhere", "demo", proxy=None))
            with pytest.raises(ClientError, match=r"is like http://127\.0\.0\.1:8765, not 'localhost'"):
                await anext(subscribe("localhost", "demo"))

    asyncio.run(main())


def test_without_asyncio_it_is_the_same():
    async def main():
        async with running() as (engine, url):
            for text in ("a", "b"):
                engine.hub.publish(utterance(text=text))

            def listen():
                with closing(sync.subscribe(url, "demo", after_seq=0, proxy=None)) as events:
                    return [next(events) for _ in range(4)]

            snapshot, *events = await asyncio.to_thread(listen)
            assert isinstance(snapshot, Snapshot)
            assert [event.seq for event in events] == [1, 2, 3]

    asyncio.run(main())


def test_it_needs_nothing_but_websockets():
    program = "import sys, cberl_client.sync; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(CLIENT)}
    )
    assert not {"engine", "cberl", "clients", "numpy", "torch", "pydantic"} & set(done.stdout.split())


def test_waits_double_and_differ():
    waits = [Backoff(first_s=1, longest_s=8, seed=seed) for seed in (1, 2)]
    one, other = ([backoff.next_s() for _ in range(6)] for backoff in waits)
    assert one != other
    for wait_s, longest_s in zip(one, (1, 2, 4, 8, 8, 8), strict=True):
        assert longest_s / 2 <= wait_s <= longest_s
    waits[0].reset()
    assert waits[0].next_s() <= 1
