import pytest

from engine.speech.turn_end import EndSilence, completeness


@pytest.mark.parametrize("text", ["I got the job.", "Where are you?", "Stop!", "He said “go home.”"])
def test_a_complete_sentence_is_finished(text: str) -> None:
    assert completeness(text) == "finished"


@pytest.mark.parametrize("text", ["I went, but.", "I think,", "We went to the", "So I was…", "Um.", "and -"])
def test_a_sentence_that_must_go_on_is_unfinished(text: str) -> None:
    assert completeness(text) == "unfinished"


@pytest.mark.parametrize("text", ["", "Kids.", "I was thinking that maybe", "..."])
def test_all_else_is_undecided(text: str) -> None:
    assert completeness(text) == "undecided"


def test_bounds_never_invert_the_meaning_of_the_usual_silence() -> None:
    silence = EndSilence(undecided_ms=500, min_ms=300, max_ms=1000)
    assert [silence.after(text) for text in ("It is done.", "It is", "And then the")] == [300, 500, 1000]
    short, long = EndSilence(200, min_ms=300, max_ms=1000), EndSilence(2000, min_ms=300, max_ms=1000)
    assert short.after("It is done.") == 200
    assert long.after("And then the") == 2000
