"""Scenes in the held-out part of one corpus are not trained on as part of another."""

from cberl.data.dialogue import Dialogue, Line
from cberl.data.overlap import without_overlap


def talk(name: str, *said: str) -> Dialogue:
    return Dialogue(name, tuple(Line("a", text, 0, n, n + 1.0) for n, text in enumerate(said)))


def test_a_shared_line_removes_its_dialogue_unless_it_is_short() -> None:
    held_out = [talk("test", "I left it in the car.", "What?", "Come on in, you two")]
    same = talk("same", "Something else.", "i left it, in the CAR!")
    short = talk("short", "What?", "Four words are few")
    near = talk("near", "I left it in the train.")
    five = talk("five", "come on in you two!")
    assert without_overlap([same, short, near, five], held_out) == [short, near]
    assert without_overlap([same, short], []) == [same, short]
