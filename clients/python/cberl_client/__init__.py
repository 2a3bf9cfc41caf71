"""Client of a CBERL Engine: `subscribe` to events, `publish_audio`, and both without asyncio in `sync`."""

from cberl_client.backoff import Backoff
from cberl_client.errors import ClientError, ConnectionLostError, RefusedError
from cberl_client.events import (
    ChangeRule,
    ConversationEnded,
    ConversationStarted,
    Disclosure,
    EmotionEvent,
    Error,
    Influence,
    Message,
    Resync,
    SessionEnded,
    SessionReceived,
    SessionStarted,
    SessionStats,
    Shift,
    Snapshot,
    SpeakerJoined,
    SpeakerLeft,
    SpeakerState,
    Unknown,
    decode,
)
from cberl_client.media import Audio, Caption, Captions
from cberl_client.publish import publish_audio
from cberl_client.subscribe import subscribe

__all__ = [
    "Audio",
    "Backoff",
    "Caption",
    "Captions",
    "ChangeRule",
    "ClientError",
    "ConnectionLostError",
    "ConversationEnded",
    "ConversationStarted",
    "Disclosure",
    "EmotionEvent",
    "Error",
    "Influence",
    "Message",
    "RefusedError",
    "Resync",
    "SessionEnded",
    "SessionReceived",
    "SessionStarted",
    "SessionStats",
    "Shift",
    "Snapshot",
    "SpeakerJoined",
    "SpeakerLeft",
    "SpeakerState",
    "Unknown",
    "decode",
    "publish_audio",
    "subscribe",
]
