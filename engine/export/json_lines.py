"""JSON Lines: one event per line, as it was sent."""

from collections.abc import Sequence

from engine.export.conversation import ExportedConversation


def to_json_lines(conversations: Sequence[ExportedConversation]) -> str:
    """The turns of all conversations."""
    return "".join(f"{turn.json}\n" for it in conversations for turn in it.turns)
