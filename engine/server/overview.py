"""What the list of conversations says of each: its people, length and last emotion."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pydantic_core import from_json

from engine.delivery.hub import Hub
from engine.store.event_log import LoggedConversation
from engine.store.writer import EventWriter

MAX_LISTED = 1000
LATEST = 100  # events of a stored conversation that are read for its entry


class Overview:
    """Lists conversations. Entries of stored ones are kept until they have new events."""

    def __init__(self, hub: Hub, event_writer: EventWriter | None) -> None:
        """`event_writer`: None where no events are stored."""
        self._hub = hub
        self._event_writer = event_writer
        self._known: dict[str, dict[str, Any]] = {}

    async def conversations(self) -> list[dict[str, Any]]:
        listed = {it.id: asdict(it) | self._present(it.id) for it in self._hub.conversations()}
        stored = await self._stored()
        for name, entry in stored.items():
            if name not in listed:
                listed[name] = entry
            elif not listed[name]["active"]:
                listed[name]["ended_at_s"] = entry["ended_at_s"]
        return list(listed.values())

    def _present(self, conversation: str) -> dict[str, Any]:
        """Of one that the hub knows. The time of its end is not known to the hub."""
        events = [it.current for it in self._hub.snapshot(conversation).speakers if it.current]
        last = max(events, key=lambda it: it.end_s, default=None)
        return _facts(last.end_s if last else None, last.emotion if last else None)

    async def _stored(self) -> dict[str, dict[str, Any]]:
        writer = self._event_writer
        if writer is None:
            return {}
        logged = await writer.query(writer.log.conversations, MAX_LISTED)
        before, self._known = self._known, {}
        for it in logged:
            entry = before.get(it.id)
            if entry is None or entry["last_seq"] != it.last_seq:
                entry = stored_entry(it, await writer.query(writer.log.latest, it.id, LATEST))
            self._known[it.id] = entry
        return self._known


def stored_entry(logged: LoggedConversation, latest: Iterable[str]) -> dict[str, Any]:
    """`latest`: its latest events as JSON, the latest first."""
    events = [from_json(text) for text in latest]
    emotions = [event for event in events if event["type"] == "emotion"]
    last = max(emotions, key=lambda event: event["end_s"], default=None)
    speakers = dict.fromkeys(event["speaker"] for event in reversed(events) if "speaker" in event)
    entry = {"id": logged.id, "speakers": tuple(speakers), "active": False, "last_seq": logged.last_seq}
    return entry | _facts(last and last["end_s"], last and last["emotion"], round(logged.last_at_s, 3))


def _facts(length_s: float | None, emotion: str | None, ended_at_s: float | None = None) -> dict[str, Any]:
    """`ended_at_s`: since 1970."""
    return {"length_s": length_s, "emotion": emotion, "ended_at_s": ended_at_s}
