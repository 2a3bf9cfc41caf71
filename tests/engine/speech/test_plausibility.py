import pytest

from engine.speech.plausibility import plausible


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("", 0.3), ("oh i see", 0.3), ("No, no, no, no!", 1.0), ("I can't believe you forgot. It's the third time.", 2.0)],
)
def test_possible_text_is_plausible(text: str, duration_s: float) -> None:
    assert plausible(text, duration_s)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("thank you for watching please subscribe to my channel", 0.4),
        ("you " * 6, 5.0),
        ("well thank you thank you thank you thank you", 9.0),
        ("and then I and then I and then I and then I left", 9.0),
    ],
)
def test_invented_text_is_not_plausible(text: str, duration_s: float) -> None:
    assert not plausible(text, duration_s)


def test_a_certain_recogniser_is_believed_that_somebody_repeats_themselves() -> None:
    text = "No I don't. Stop it. Stop it. Stop it. Stop it."
    assert not plausible(text, 4.5)
    assert plausible(text, 4.5, certain=True)
    assert not plausible("Stop it. " * 9, 4.5, certain=True)
    assert not plausible("Stop it. " * 4, 0.5, certain=True)
