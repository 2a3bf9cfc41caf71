"""The media files that arguments of a command name: files, folders, patterns. They are checked before they are read."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cberl.data.media import MediaError, MediaInfo, probe

# In a folder, only these are media. A file that is named by itself may be called anything.
_AUDIO = ".aac .aif .aiff .amr .caf .flac .m4a .m4b .mka .mp3 .oga .ogg .opus .wav .wave .wma"
_VIDEO = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv"
SUFFIXES = frozenset(f"{_AUDIO} {_VIDEO}".split())


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file, or an address that FFmpeg reads. `info` is None for an address, which is not read in advance."""

    path: str
    info: MediaInfo | None = None

    @property
    def duration_s(self) -> float | None:
        return self.info.duration_s if self.info else None

    @property
    def mixes_voices(self) -> bool:
        """Everybody in it is on one track."""
        return self.info is not None and (self.info.channels != 2 or self.info.film)


def check_media(arguments: Sequence[str]) -> tuple[list[MediaFile], list[MediaError]]:
    """The files that can be read, each once, and why others cannot."""
    good: dict[str, MediaFile] = {}
    problems: list[MediaError] = []
    for argument in arguments:
        try:
            paths = list(_expanded(argument))
        except MediaError as error:
            problems.append(error)
            continue
        for path in paths:
            try:
                good.setdefault(path, MediaFile(path, None if _is_address(path) else probe(path)))
            except MediaError as error:
                problems.append(error)
    return list(good.values()), problems


def _expanded(argument: str) -> Iterator[str]:
    path = Path(argument)
    if _is_address(argument) or path.is_file():
        yield argument
    elif path.is_dir():
        found = sorted(map(str, _media_in(path.rglob("*"), path)))
        if not found:
            raise MediaError(f"{argument} has no media files: name them one by one if their suffixes are unusual")
        yield from found
    elif glob.has_magic(argument):
        matching = sorted(it for it in glob.glob(argument, recursive=True) if Path(it).is_file())
        if not matching:
            raise MediaError(f"no file matches {argument}")
        yield from matching
    else:
        yield argument  # `probe` says what is wrong


def _media_in(paths: Iterable[Path], folder: Path) -> Iterator[Path]:
    for path in paths:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path


def _is_address(argument: str) -> bool:
    return "://" in argument and not Path(argument).exists()
