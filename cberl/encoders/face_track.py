"""Whose face it is: of all that a turn's pictures show, the one that is followed through them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cberl.encoders.face import Box, prominence

REACH = 1.5  # sides of a face: who has moved further between two pictures is somebody else
MOST_GROWTH = 2.0  # ... and so is who has grown, or shrunk, by more

Size = tuple[int, int]  # width, height of a picture


@dataclass(slots=True, eq=False)
class _Person:
    last: Box  # in longer sides of its picture
    prominence: float
    boxes: dict[int, Box] = field(default_factory=dict)  # by picture


def follow(found: Sequence[Sequence[Box]], sizes: Sequence[Size]) -> list[Box | None]:
    """For each picture the box of one person, the same in all; None where they are not in it.

    `found` holds every face of each picture, `sizes` the pictures' own. Nearest faces are linked from picture to
    picture. Of the people so told apart, it is the one who is largest and most central over all of them together: who
    is seen throughout wins over who passes close by.
    """
    people: list[_Person] = []
    for picture, (boxes, size) in enumerate(zip(found, sizes, strict=True)):
        placed = [_placed(box, size) for box in boxes]
        known = dict(_links([person.last for person in people], placed))
        for number, (box, place) in enumerate(zip(boxes, placed, strict=True)):
            if number not in known:
                known[number] = len(people)
                people.append(_Person(place, 0.0))
            person = people[known[number]]
            person.last = place
            person.prominence += prominence(box, *size) / max(size) ** 2
            person.boxes[picture] = box
    main = max(people, key=lambda person: person.prominence, default=None)
    return [main.boxes.get(picture) if main else None for picture in range(len(found))]


def _links(before: Sequence[Box], now: Sequence[Box]) -> list[tuple[int, int]]:
    """(which of `now`, which of `before`), each at most once, nearest first."""
    near = sorted(
        (apart, this, that)
        for this, box in enumerate(now)
        for that, other in enumerate(before)
        if (apart := _apart(box, other)) <= REACH
        and max(box.side, other.side) <= MOST_GROWTH * min(box.side, other.side)
    )
    links: list[tuple[int, int]] = []
    for _, this, that in near:
        if all(this != one and that != other for one, other in links):
            links.append((this, that))
    return links


def _apart(box: Box, other: Box) -> float:
    """Between their centres, in sides of the larger."""
    across, down = box.centre_x - other.centre_x, box.centre_y - other.centre_y
    return float(max(abs(across), abs(down)) / max(box.side, other.side))


def _placed(box: Box, size: Size) -> Box:
    longer = max(size)
    return Box(box.centre_x / longer, box.centre_y / longer, box.side / longer, box.score)
