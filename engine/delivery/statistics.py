"""What a hub has published and lost since it was opened. Pure."""

from collections import Counter

from engine.delivery.subscription import EndReason, Subscription
from engine.delivery.wire import message_type
from engine.events import EmotionEvent, Event
from engine.runtime.durations import AFTER_SPEECH_S, Durations


class HubStatistics:
    """`after_speech`: from the end of a turn's speech until its final event is published."""

    def __init__(self) -> None:
        self.published: Counter[tuple[str, str]] = Counter()  # by type and, of emotion events, status
        self.after_speech = Durations(AFTER_SPEECH_S)
        self.missing: Counter[tuple[str, str]] = Counter()  # by modality and reason, of final events
        self.ended: Counter[EndReason] = Counter()  # subscriptions
        self.dropped = 0  # events for the subscriptions that have ended

    def event(self, event: Event) -> None:
        """It was delivered."""
        status = event.status if isinstance(event, EmotionEvent) else ""
        self.published[message_type(event), status] += 1
        if isinstance(event, EmotionEvent) and status == "final":
            self.missing.update(event.missing.items())
            if "after_speech" in event.timings_ms:
                self.after_speech.observe(event.timings_ms["after_speech"] / 1e3)

    def end(self, subscription: Subscription) -> None:
        """It has ended."""
        self.dropped += subscription.dropped
        if subscription.reason is not None:
            self.ended[subscription.reason] += 1
