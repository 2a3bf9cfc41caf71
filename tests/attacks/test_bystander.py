"""The measure of every attack: it notices what is lost, and passes where nothing attacks."""

import asyncio

import pytest

from testing.serving import Served, assert_nothing_lost, bystander

EVENT = {"type": "emotion", "utterance": "a/b/1", "seq": 1, "text": "hello", "lag_s": 0.1}
ENDED = {"type": "session.ended", "dropped_chunks": 0}


@pytest.mark.parametrize(
    ("published", "subscribed"),
    [
        ([ENDED], []),
        ([EVENT], [EVENT]),
        ([EVENT, ENDED | {"dropped_chunks": 1}], [EVENT]),
        ([EVENT | {"text": "hallo"}, ENDED], [EVENT | {"text": "hallo"}]),
        ([EVENT, ENDED], []),
        ([EVENT, {"type": "error"}, ENDED], [EVENT]),
    ],
)
def test_it_notices_what_is_lost(published: list[dict], subscribed: list[dict]) -> None:
    assert_nothing_lost([EVENT, ENDED], [EVENT], [EVENT | {"lag_s": 0.2}])
    with pytest.raises(AssertionError):
        assert_nothing_lost(published, subscribed, [EVENT])


def test_it_notices_a_missing_number() -> None:
    finals = [EVENT, EVENT | {"seq": 3}]
    with pytest.raises(AssertionError):
        assert_nothing_lost([*finals, ENDED], finals, finals)


def test_beside_nothing_a_conversation_in_real_time_has_the_events_of_an_upload(server: Served) -> None:
    async def main() -> None:
        async with bystander(server):
            await asyncio.sleep(2)  # of media in real time
        server.assert_calm()

    asyncio.run(main())
