"""What is held out of one corpus is not learnt from another that holds the same scenes."""

from cberl.data.dialogue import Dialogue, Line
from cberl.data.overlap import without_overlap


def talk(name: str, *said: str) -> Dialogue:
    return Dialogue(name, tuple(Line("a", text, 0, n, n + 1.0) for n, text in enumerate(said)))


def test_a_shared_line_removes_its_whole_dialogue_and_a_short_one_proves_nothing() -> None:
    held_out = [talk("test", "I left it in the car.", "What?", "Come on in, you two")]
    same = talk("same", "Something else.", "i left it, in the CAR!")
    short = talk("short", "What?", "Four words are few")
    near = talk("near", "I left it in the train.")
    five = talk("five", "come on in you two!")
    assert without_overlap([same, short, near, five], held_out) == [short, near]
    assert without_overlap([same, short], []) == [same, short]
