"""Tracks faces through the pictures of a turn and chooses the person that they mainly show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cberl.encoders.face import Box, prominence

MAX_DISTANCE = 1.5  # in sides of the face: a face further away in the next picture is another person
MAX_GROWTH = 2.0  # ratio of sides: so is a face that is larger or smaller by more

Size = tuple[int, int]  # width, height of a picture


@dataclass(slots=True, eq=False)
class _Person:
    last: Box  # in units of its picture's longer side
    prominence: float
    boxes: dict[int, Box] = field(default_factory=dict)  # by picture


def follow(found: Sequence[Sequence[Box]], sizes: Sequence[Size]) -> list[Box | None]:
    """The box of one and the same person in each picture; None in pictures that do not show them.

    found: every face of each picture; sizes: of the pictures. The nearest faces of successive pictures are linked into
    tracks. The person is the track with the largest sum of `prominence` over all pictures, so that somebody who is
    seen throughout is preferred to somebody who passes close to the camera.
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
    """(index into `now`, index into `before`), each at most once, nearest pairs first."""
    near = sorted(
        (apart, this, that)
        for this, box in enumerate(now)
        for that, other in enumerate(before)
        if (apart := _distance(box, other)) <= MAX_DISTANCE
        and max(box.side, other.side) <= MAX_GROWTH * min(box.side, other.side)
    )
    links: list[tuple[int, int]] = []
    for _, this, that in near:
        if all(this != one and that != other for one, other in links):
            links.append((this, that))
    return links


def _distance(box: Box, other: Box) -> float:
    """Between the centres, in sides of the larger box."""
    across, down = box.centre_x - other.centre_x, box.centre_y - other.centre_y
    return float(max(abs(across), abs(down)) / max(box.side, other.side))


def _placed(box: Box, size: Size) -> Box:
    longer = max(size)
    return Box(box.centre_x / longer, box.centre_y / longer, box.side / longer, box.score)
