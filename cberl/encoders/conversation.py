"""What the encoders need to know of a conversation's past. Feature extraction and the live engine both use this."""

from typing import NamedTuple

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory, TextInput, TextPrompt
from cberl.types import Float32, Float64


class InContext(NamedTuple):
    """One utterance in the context of those before it; None where the modality is absent.

    text: tokens for the text encoder; audio: float32[dim], normalised by the speaker's past.
    """

    text: TextInput | None
    audio: Float32 | None


class HistoryState(NamedTuple):
    """A history as plain values. `text`: (speaker, text) of the last turns; `audio`: float64[3, dim] per speaker."""

    text: tuple[tuple[str, str], ...]
    audio: dict[str, Float64]


class ConversationHistory:
    """One conversation's past turns of text, and how each of its speakers usually sounds. Push in the order spoken."""

    def __init__(self, prompt: TextPrompt, audio: AudioHistory) -> None:
        """`audio`: without a past, as from `AudioEncoder.history`."""
        self._text = TextHistory(prompt)
        self._audio = audio

    def copy(self) -> "ConversationHistory":
        """An independent history with the same past."""
        other = object.__new__(ConversationHistory)
        other._text, other._audio = self._text.copy(), self._audio.copy()
        return other

    def state(self) -> HistoryState:
        """For `restore`."""
        return HistoryState(self._text.turns, self._audio.moments())

    def restore(self, state: HistoryState) -> None:
        """Continue from this state. Raises ValueError where it does not fit the encoders."""
        self._text.restore(state.text)
        self._audio.restore(state.audio)

    def push(self, speaker: str, text: str, audio: Float32 | None) -> InContext:
        """Encodes an utterance in context and adds it to the past.

        text: "" = absent; audio: raw float32[raw_dim] of `AudioEncoder.describe`, None = absent. A modality that is
        absent, or audio without usable sound (see `AudioHistory`), adds nothing to the past.
        """
        return InContext(
            self._text.push(speaker, text) if text else None,
            None if audio is None else self._audio.push(speaker, audio),
        )

    def peek(self, speaker: str, text: str = "", audio: Float32 | None = None) -> InContext:
        """What `push` would return, without adding to the past: for interim results and for encoding early."""
        return InContext(
            self._text.peek(speaker, text) if text else None,
            None if audio is None else self._audio.peek(speaker, audio),
        )
