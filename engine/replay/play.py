"""Runs recorded conversations through the engine on virtual time: the same events to the byte, every time."""

import asyncio
from collections.abc import Callable, Sequence

from engine.config import Settings
from engine.delivery.hub import Hub
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.events import ConversationEnded
from engine.replay.recorded import RecordedConversation, RecordedSource, ReplaySource, sleep_until
from engine.runtime.virtual_time import VirtualTimeLoop
from engine.server.supervisor import Supervisor, open_supervisor

RUN = "replay"  # in the ids of events
QUEUE = 100_000

Show = Callable[[str], None]


def replay(recordings: Sequence[RecordedConversation], settings: Settings, show: Show) -> None:
    """One conversation after the other. Calls `show` with each event, as it is on the wire.

    Raises whatever loading the models raises, and RefusedError where a source cannot join.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_replay(recordings, settings, show))


async def _replay(recordings: Sequence[RecordedConversation], settings: Settings, show: Show) -> None:
    hub = Hub(replay_events=0, subscriber_queue=QUEUE, run=RUN)
    async with open_supervisor(settings, hub) as supervisor:
        for recorded in recordings:
            subscription = hub.subscribe(recorded.name, with_snapshot=False)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_show(subscription, show), name="show events")
                await _converse(recorded, supervisor)


async def _converse(recorded: RecordedConversation, supervisor: Supervisor) -> None:
    base_s = asyncio.get_running_loop().time()

    async def join(source: RecordedSource) -> None:
        await sleep_until(base_s + source.joined_s)
        await supervisor.join(recorded.name, ReplaySource(source, recorded.path, base_s), live=source.live)

    if not recorded.sources:
        await supervisor.start(recorded.name)
    async with asyncio.TaskGroup() as tasks:
        for source in recorded.sources:
            tasks.create_task(join(source), name="replayed source")
    supervisor.end(recorded.name)


async def _show(subscription: Subscription, show: Show) -> None:
    async for _, text in subscription:
        show(text)
        if isinstance(decode(text)[1], ConversationEnded):
            subscription.end("closed")
