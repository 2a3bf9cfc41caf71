import pytest

from engine.speech.backchannel import is_backchannel


@pytest.mark.parametrize("text", ["Mm-hm.", "yeah", "Yeah, yeah.", "uh huh", "I see.", "Oh, okay", "MM-HMM"])
def test_short_signs_of_listening_are_back_channels(text: str) -> None:
    assert is_backchannel(text, 0.6)
    assert not is_backchannel(text, 3.0)  # so drawn out, it says more


@pytest.mark.parametrize("text", ["", "no", "yeah I did", "oh yes yes yes yes", "really", "I see him", "..."])
def test_what_takes_the_floor_is_not_a_back_channel(text: str) -> None:
    assert not is_backchannel(text, 0.6)
