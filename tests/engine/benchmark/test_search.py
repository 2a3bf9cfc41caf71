"""Which numbers of conversations are tried."""

from hypothesis import given
from hypothesis import strategies as st

from engine.benchmark.search import Search


def tried(capacity: int, most: int) -> tuple[list[int], int]:
    """(numbers tried, the largest of them that was served) with a server of this capacity."""
    search, numbers = Search(most), []
    for number in search:
        numbers.append(number)
        search.report(number, served=number <= capacity)
    return numbers, max((number for number in numbers if number <= capacity), default=0)


def test_numbers_are_doubled_then_bisected() -> None:
    assert tried(5, 64)[0] == [1, 2, 4, 8, 6, 5]
    assert tried(0, 64)[0] == [1]
    assert tried(100, 6)[0] == [1, 2, 4, 6]


@given(st.integers(0, 3000), st.integers(1, 2000))
def test_the_largest_number_is_found_to_a_tenth(capacity: int, most: int) -> None:
    numbers, found = tried(capacity, most)
    true = min(capacity, most)
    assert found <= true < found + max(2, 0.1 * found + 1)
    assert len(numbers) == len(set(numbers)) < 30
