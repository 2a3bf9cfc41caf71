import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection

from engine.access.guard import Access
from engine.access.keys import Keys, new_key
from engine.access.tokens import Verifier, issue, new_grant
from engine.server.calls import MAX_MESSAGE_BYTES, MAX_PEOPLE, MAX_QUEUED, Calls, caller_id
from testing.counting import rest, running, until, ws

Join = Callable[..., Awaitable[ClientConnection]]


def key(number: int) -> str:
    return f"{number:032x}"


def id_of(number: int) -> str:
    return caller_id(key(number))


def address(name: str, number: int, conversation: str = "talk") -> str:
    return f"/signal?conversation={conversation}&name={name}&key={key(number)}"


async def people(client: ClientConnection) -> list[str]:
    return [it["name"] for it in (await until(client, "call.people"))["people"]]


def signal(number: int, **data: Any) -> str:
    return json.dumps({"type": "call.signal", "to": id_of(number), "data": data})


def in_call(test: Callable[[str, Join], Awaitable[None]], **flags: Any) -> None:
    async def main() -> None:
        async with running(**flags) as (_, url), AsyncExitStack() as stack:

            async def join(name: str, number: int, conversation: str = "talk") -> ClientConnection:
                return await stack.enter_async_context(ws(url, address(name, number, conversation)))

            await test(url, join)

    asyncio.run(main())


def test_people_of_a_call_learn_of_each_other_and_exchange_messages() -> None:
    async def test(url: str, join: Join) -> None:
        maya = await join("maya", 1)
        assert await people(maya) == ["maya"]
        tom, other = await join("tom", 2), await join("tom", 2, "other")
        assert await people(maya) == await people(tom) == ["maya", "tom"]
        assert await people(other) == ["tom"]
        await maya.send(signal(2, candidate="a"))
        assert await until(tom, "call.signal") == {
            "type": "call.signal", "from": id_of(1), "data": {"candidate": "a"},
        }  # fmt: skip
        await maya.send(signal(9, candidate="to nobody"))
        await tom.close()
        assert await people(maya) == ["maya"]

    in_call(test)


def test_a_lost_connection_is_replaced_and_a_name_is_taken_once() -> None:
    async def test(url: str, join: Join) -> None:
        maya, tom = await join("maya", 1), await join("tom", 2)
        again = await join("tom", 2)
        assert await people(again) == ["maya", "tom"]
        assert (await rest(tom))[1:] == (1000, "")
        refused, code, _ = await rest(await join("tom", 3))
        assert (refused[0]["code"], code) == ("speaker_taken", 1013)
        await maya.send(signal(2, hello=True))
        assert (await until(again, "call.signal"))["data"] == {"hello": True}

    in_call(test)


def test_the_id_by_which_others_know_a_caller_replaces_nobody() -> None:
    async def test(url: str, join: Join) -> None:
        maya = await join("maya", 1)
        told = await until(maya, "call.people")
        assert told["people"] == [{"id": told["you"], "name": "maya"}]
        async with ws(url, f"/signal?conversation=talk&name=maya&key={told['you']}") as impostor:
            assert (await until(impostor, "error"))["code"] == "speaker_taken"
        async with ws(url, f"/signal?conversation=talk&name=mallory&key={told['you']}") as impostor:
            assert await people(impostor) == await people(maya) == ["maya", "mallory"]

    in_call(test)


def test_a_call_has_four_people_and_its_messages_are_bounded() -> None:
    async def test(url: str, join: Join) -> None:
        first, *_ = [await join(f"person-{number}", number) for number in range(MAX_PEOPLE)]
        refused, code, _ = await rest(await join("late", 9))
        assert (refused[0]["code"], code) == ("full", 1013)
        for message in (signal(1, sdp="x" * MAX_MESSAGE_BYTES), "nonsense", '{"type": "call.signal"}', "[]"):
            await first.send(message)
            assert (await until(first, "error"))["code"] in ("too_large", "bad_request")
        for query in ("name=a", "name=a&key=1", "name=a%2Fb&key=" + key(1)):
            async with ws(url, f"/signal?conversation=talk&{query}") as client:
                refused, code, _ = await rest(client)
                assert code == 1008

    in_call(test)


def test_a_call_needs_a_token_that_may_listen_as_this_speaker() -> None:
    keys = Keys((new_key(),))

    async def test(url: str, join: Join) -> None:
        for scope, speaker, allowed in (("publish", None, False), ("listen", "tom", False), ("listen", "maya", True)):
            token = issue(keys, new_grant(frozenset([scope]), "talk", speaker, 1))  # type: ignore[list-item]
            async with ws(url, address("maya", 1)) as client:
                await client.send(json.dumps({"type": "authenticate", "token": token}))
                first = json.loads(await client.recv())
                assert first["type"] == ("call.people" if allowed else "error")

    in_call(test, access=Access(Verifier(lambda: keys)))


def test_who_does_not_read_is_disconnected_and_the_others_are_not() -> None:
    async def main() -> None:
        calls = Calls()
        slow, other = calls.join("talk", "slow", key(1)), calls.join("talk", "other", key(2))
        for _ in range(MAX_QUEUED):
            assert calls.pass_on(other, signal(1, x=1)) is None
        assert slow.reason == "slow"
        assert slow.outbox.qsize() == 1
        assert other.reason is None
        calls.end()
        assert other.reason == "restart"

    asyncio.run(main())
