import pytest

from engine.speech.backchannel import is_backchannel


@pytest.mark.parametrize("text", ["Mm-hm.", "yeah", "Yeah, yeah.", "uh huh", "I see.", "Oh, okay", "MM-HMM"])
def test_a_listener_shows_that_they_listen(text: str) -> None:
    assert is_backchannel(text, 0.6)
    assert not is_backchannel(text, 3.0)  # so drawn out, it says more


@pytest.mark.parametrize("text", ["", "no", "yeah I did", "oh yes yes yes yes", "really", "I see him", "..."])
def test_what_claims_the_floor_is_none(text: str) -> None:
    assert not is_backchannel(text, 0.6)
