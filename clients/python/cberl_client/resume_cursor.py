"""Where a subscriber is in a conversation's events, over any number of connections. No sockets."""

from cberl_client.events import EVENTS, Message, Resync, Snapshot, Unknown

ALL = "*"  # every conversation; live only


class ResumeCursor:
    """Feed it all that comes; `take` gives what is news, once and in order. Resume after `last_seq`.

    `void` says that this connection was asked for the wrong events, since the engine has begun to count anew: make
    another one. `numbering` is that of the events one has.
    """

    def __init__(self, conversation: str, after_seq: int | None = None, numbering: str = "") -> None:
        self.conversation = conversation
        self.last_seq = after_seq  # None: not known yet, so live only
        self.void = False
        self._numbering = numbering  # "": not known
        self._snapshot: Snapshot | None = None  # how things stood when the connection was made

    def take(self, message: Message) -> tuple[Message, ...]:
        if self.conversation == ALL:
            return (message,)  # each connection begins anew: with everybody's snapshot
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
                return (message,) if first else ()  # later ones tell nothing that is not about to be replayed
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
