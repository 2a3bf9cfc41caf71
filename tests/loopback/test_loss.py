"""A network that loses one packet in ten and lets the others overtake each other: what was said comes out all the same.

`bench/loss.py` measures what that costs.
"""

import asyncio
import re
from typing import Any

import pytest
from torchaudio.functional import edit_distance

from cberl.types import SAMPLE_RATE
from testing.live_engine import SCRIPT, Message, demo, running, until, ws
from testing.lossy_network import LossyNetwork
from testing.whip_client import Voice, publishing


@pytest.mark.timeout(300)
def test_a_turn_is_recognized_over_a_lossy_network() -> None:
    async def main() -> tuple[Message, dict[str, Any], LossyNetwork]:
        network = LossyNetwork(loss=0.1, jitter_s=0.2, seed=0)
        maya = demo()[0, : round(3.7 * SAMPLE_RATE)]
        async with running() as (_, url), ws(url, "/events?conversation=demo") as watcher:
            async with publishing(url, "demo", "maya", Voice(maya)) as published:
                network.carry(published.connection)
                final = await until(watcher, "emotion")
                account = await published.hang_up()
            await network.arrived()
            await until(watcher, "speaker.left")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return final, account, network

    final, account, network = asyncio.run(main())
    turn = SCRIPT.turns[0]
    assert final["end_s"] - final["start_s"] == pytest.approx(turn.end_s - turn.start_s, abs=0.3)
    said, heard = (re.findall(r"[a-z']+", text.lower()) for text in (turn.text, final["text"]))
    assert edit_distance(said, heard) / len(said) <= 0.5
    # Of what the network lost, and of nothing else: a packet has 20 ms.
    assert 0 < account["missing_s"] <= 0.02 * (network.lost + 8)
    assert account["gaps"] > 0
