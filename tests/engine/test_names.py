import pytest

from engine.names import name_problem


@pytest.mark.parametrize("name", ["alice", "Zoë 2", "x" * 64, "日本語", "$a"])
def test_good_names(name):
    assert name_problem("A name", name) is None


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "a/b", "a+", "#", "a\nb", "a\x00", "\ud800", " a", "a\u2028b", "a\ufdd0", "\ufffe", "a\U0001ffffb"],
)
def test_bad_names(name):
    assert name_problem("A name", name).startswith("A name ")
