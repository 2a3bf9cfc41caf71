"""The position of a subscriber in a conversation's events, across connections. No sockets."""

from cberl_client.events import EVENTS, Message, Resync, Snapshot, Unknown

ALL = "*"  # every conversation; live only


class ResumeCursor:
    """Pass it every message; `take` returns those that are new, once and in order. Resume after `last_seq`.

    `void` is set when the engine has restarted its numbering, so that this connection requested the wrong events: open
    another one. `numbering` is the one of the events received so far.
    """

    def __init__(self, conversation: str, after_seq: int | None = None, numbering: str = "") -> None:
        self.conversation = conversation
        self.last_seq = after_seq  # None: unknown, so only live events
        self.void = False
        self._numbering = numbering  # "": unknown
        self._snapshot: Snapshot | None = None  # the first of this connection

    def take(self, message: Message) -> tuple[Message, ...]:
        if self.conversation == ALL:
            return (message,)  # nothing to resume: each connection starts with all snapshots
        match message:
            case Snapshot():
                first, self._snapshot = self._snapshot is None, message
                before, self._numbering = self._numbering, message.numbering
                self.void = self.last_seq is not None and "" != before != self._numbering
                if self.void:
                    lost, self.last_seq = Resync(message.conversation, self.last_seq or 0, 0), 0
                    return (lost, message)
                if self.last_seq is None:
                    self.last_seq = message.last_seq
                return (message,) if first else ()  # later ones repeat what is replayed next
            case Resync():
                self.last_seq = message.last_seq
                return (message,) if self._snapshot is None else (message, self._snapshot)
            case Unknown():
                return (message,) if self._is_news(message.seq) else ()
            case _ if isinstance(message, EVENTS):
                return (message,) if self._is_news(message.seq) else ()
            case _:
                return (message,)

    def _is_news(self, seq: int | None) -> bool:
        if seq is None:
            return True
        if self.last_seq is not None and seq <= self.last_seq:
            return False
        self.last_seq = seq
        return True
