"""Finding images: files, folders, globs, archives and lists on stdin, the samples that come along;
and choosing among them."""

from __future__ import annotations

import hashlib
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TextIO, TypeVar

from nca_cli.errors import Complain, ImageError, NcaError, UsageError
from nca_cli.images.archives import Archive, Member, is_archive, open_archive
from nca_cli.images.identity import Source
from nca_cli.images.readable import READABLE, has_image_suffix, left_out
from nca_cli.installed import file_of

Image = TypeVar("Image")


@dataclass(frozen=True)
class Choice:
    """The first `limit` images, or `sample` of them at random; neither: all.

    Raises `UsageError` for what is no choice.
    """

    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    """Which sample; `None` is 0."""

    def __post_init__(self) -> None:
        for option, count in (("--limit", self.limit), ("--sample", self.sample)):
            if count is not None and count < 1:
                raise UsageError(f"{option} {count} selects no image", "give a number above 0")
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample exclude each other", "use one of them")
        if self.seed is not None and self.sample is None:
            raise UsageError(
                "--sample-seed without --sample", "add --sample N, such as --sample 100"
            )

    def of(self, images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        """The images chosen, in their order; a sample is drawn by `names` alone.

        Every name has a rank, the SHA-256 of seed and name, and the lowest ranks are taken. So a
        sample holds all smaller ones of its seed, and an image that is added or gone changes one
        place at most. Of equal names the second, third, … have ranks of their own. Raises
        `UsageError` when there are fewer images than the sample is to have.
        """
        if self.sample is None:
            return list(images[: self.limit])
        if 0 < len(images) < self.sample:
            raise UsageError(f"--sample {self.sample}, but only {len(images)} found",
                             "leave it out to take all")  # fmt: skip
        ranks = _ranks(names, self.seed or 0)
        drawn = sorted(range(len(images)), key=ranks.__getitem__)[: self.sample]
        return [images[i] for i in sorted(drawn)]


def _ranks(names: Sequence[str], seed: int) -> list[bytes]:
    seen: Counter[str] = Counter()
    ranks = []
    for name in (unicodedata.normalize("NFC", name) for name in names):
        text = f"nca-sample {seed} {seen[name]}\n{name}"
        ranks.append(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        seen[name] += 1
    return ranks


ALL = Choice()


def find_images(
    arguments: Sequence[str | os.PathLike[str]],
    choice: Choice = ALL,
    *,
    stdin: TextIO | None = None,
    on_error: Complain | None = None,
    notes: list[str] | None = None,
) -> list[Source]:
    """The images that `arguments` mean: files, folders, archives, globs (also `**`), "-" for stdin.

    A named file is taken whatever its suffix. A folder is searched to any depth, without hidden
    entries and without following links to folders; of it, and of a glob's matches, the files with
    an image suffix are taken, in sorted order. An archive (`faces.zip`, `.tar`, `.tar.gz`, …) that
    is named, or matched by a glob, is searched like a folder, and what lies in it is named like a
    file in a folder: `faces.zip/val/1.png`. In a folder, archives are passed over. Arguments keep
    their order, and an image reached twice (by its real path) is listed once. "-" reads one path
    per line.

    `choice` is made among all that were found; the chosen of an archive come as they lie in it.

    Raises ImageError for an argument that yields nothing and UsageError for an empty stdin, or
    calls `on_error` with each and goes on. No file but archives is opened. Pictures of kinds that
    are not read are counted in `notes`.
    """
    finder = _Finder(on_error or _raise, [] if notes is None else notes)
    found: dict[str, tuple[Source, str]] = {}
    real = cache(os.path.realpath)  # of folders, which thousands of images share
    for argument in arguments:
        lines = finder.lines(stdin or sys.stdin) if argument == "-" else [os.fspath(argument)]
        for line in lines:
            for image, name in finder.expand(line):
                found.setdefault(_real_path(image, real), (image, name))
    images, names = [image for image, _ in found.values()], [name for _, name in found.values()]
    return _in_reading_order(choice.of(images, names))


def _in_reading_order(images: Sequence[Source]) -> list[Source]:
    """Members of an archive together, as they lie in it: a compressed tar is read in one pass."""
    groups: dict[object, list[Source]] = {}
    for image in images:
        groups.setdefault(getattr(image, "archive", image), []).append(image)
    for some in groups.values():
        some.sort(key=lambda image: getattr(image, "position", 0))
    return list(chain.from_iterable(groups.values()))


def _raise(error: NcaError) -> None:
    raise error


def _real_path(image: Source, real: Callable[[str], str]) -> str:
    if isinstance(image, Member):
        return f"{image.archive.real}/{image.path}"
    if os.path.islink(image):
        return os.path.realpath(image)
    folder, name = os.path.split(image)
    return os.path.join(real(folder), name)


Named = list[tuple[Source, str]]
"""Images, and their paths below what was named: the same wherever it lies, and for each image
whatever other ones there are."""


class _Finder:
    """Expands arguments, one by one; archives that several lead to are listed once."""

    def __init__(self, complain: Complain, notes: list[str]):
        self.complain, self.notes = complain, notes
        self._archives: dict[str, Archive | None] = {}

    def lines(self, stdin: TextIO) -> list[str]:
        """The paths on stdin."""
        try:
            lines = [line.rstrip("\r\n") for line in stdin]
        except UnicodeDecodeError:
            lines = []
        paths = [line for line in lines if line.strip()]
        if not paths:
            self.complain(
                UsageError("no image paths on stdin", "pipe paths into nca, one per line")
            )
        return paths

    def expand(self, argument: str) -> Named:
        """The images behind one argument, which is taken literally if something has that name."""
        if inside := _archive_and_path(argument):
            return self.archive(*inside)
        if os.path.isfile(argument):
            return [(Path(argument), Path(argument).name)]
        images: Named
        if os.path.isdir(argument):
            images, problem = self.folder(argument), "no images in this folder"
            hint = "" if images else _nothing_in(argument)
        elif os.path.lexists(argument):
            images, problem, hint = [], "not a regular file", "name an image file or a folder"
        elif _is_glob(argument):
            images, problem = self.matching(argument), "no images match"
            hint = "check the pattern; only files with an image suffix are taken"
        else:
            images, problem = [], "no such file or folder"
            number = argument.replace(".", "", 1).isdecimal()
            hint = "separate levels by commas: --t 100,300" if number else "check the path"
        if not images:
            self.complain(ImageError(argument or "''", problem, hint))
        return images

    def archive(self, path: Path, inside: str) -> Named:
        """The images in an archive, or in a folder of it, or the one that is named.

        Where an archive holds one folder, as that of a folder does, they are named below that.
        """
        archive = self._archive(path)
        if archive is None:
            return []
        images = archive.images(inside)
        if not images:
            self.complain(_nothing_in_archive(archive, inside))
        elif len(images) > 1 and all(image.problem for image in images):
            hint = f"none of the {len(images):,} images there can be read"
            self.complain(ImageError(images[0], images[0].problem, hint))
            return []
        if inside in archive.members:
            return [(image, image.name) for image in images]
        self._left_out(path, archive.shown(inside))
        root = f"{_only_folder(images) if inside == '.' else inside}/".lstrip("/")
        return [(image, image.path[len(root) :]) for image in images]

    def _archive(self, path: Path) -> Archive | None:
        real = os.path.realpath(path)
        if real not in self._archives:
            self._archives[real] = None
            try:
                self._archives[real] = open_archive(path)
            except ImageError as error:
                self.complain(error)
        return self._archives[real]

    def folder(self, folder: str | Path) -> Named:
        """All images below `folder`, sorted; unreadable folders in it are complained about."""

        def unreadable(error: OSError) -> None:
            self.complain(ImageError(error.filename, error.strerror or "cannot be read"))

        files = list(_files_in(folder, unreadable))
        images = sorted(filter(_looks_like_an_image, files), key=attrgetter("parts"))
        if images:  # else that is an error, which says so
            self._left_out(folder, map(str, files))
        return [(image, image.relative_to(folder).as_posix()) for image in images]

    def _left_out(self, place: str | Path, names: Iterable[str]) -> None:
        if (text := left_out(names)) and (note := f"{place}: {text}") not in self.notes:
            self.notes.append(note)

    def matching(self, pattern: str) -> Named:
        """All images that match a glob or lie in what matches it, sorted.

        They are named below the part of the pattern that has no wildcards.
        """
        parts = Path(pattern).parts
        first = next(i for i, part in enumerate(parts) if _is_glob(part))
        root = Path(*parts[:first])
        try:  # pathlib's `**`, unlike the glob module's, follows no links: no running in circles
            matches = sorted(set(root.glob(os.path.join(*parts[first:]))))
        except (OSError, ValueError):
            return []
        found: Named = []
        for path in matches:
            below = path.relative_to(root)
            if any(part.startswith(".") for part in below.parts):
                continue
            images: Named = []
            if path.is_dir():
                images = self.folder(path)
            elif inside := _archive_and_path(path):
                images = self.archive(*inside)
            elif _looks_like_an_image(path):
                images = [(path, "")]
            found += [(image, (below / name).as_posix()) for image, name in images]
        return found


def _only_folder(images: Sequence[Member]) -> str:
    """The folder at the top of an archive that holds all its images; "" where there is none."""
    first = images[0].path.partition("/")[0] if images else ""
    return first if all(image.path.startswith(f"{first}/") for image in images) else ""


def _archive_and_path(argument: str | Path) -> tuple[Path, str] | None:
    """The archive that a path names or leads into, and the way on in it (`.`: all of it)."""
    path = Path(argument)
    for outer in (path, *path.parents):
        if os.path.lexists(outer):
            found = is_archive(outer) and outer.is_file()
            return (outer, path.relative_to(outer).as_posix()) if found else None
    return None


def _files_in(
    folder: str | Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
    for where, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in files if not name.startswith("."))


def _nothing_in(folder: str) -> str:
    """What to do about a folder without images."""
    files = list(_files_in(folder))
    archive = next(filter(is_archive, files), None)
    if archive:
        return f"archives in folders are not opened, unless they are named: {archive}"
    return left_out(map(str, files)) or READABLE


def _nothing_in_archive(archive: Archive, inside: str) -> ImageError:
    if inside != "." and archive.members:
        hint = f"it holds {next(iter(archive.members))}, for one"
        return ImageError(
            f"{archive.path}/{inside}", "no image or folder of this name in the archive", hint
        )
    nested = any(map(is_archive, archive.members))
    hint = "archives in archives are not opened" if nested else READABLE
    hint = left_out(archive.shown(inside)) or hint
    return ImageError(archive.path, "no images in this archive", hint)


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _looks_like_an_image(path: Path) -> bool:
    return has_image_suffix(path.name) and os.path.isfile(path)


def sample_images(kind: str = "photos") -> list[Path]:
    """Image files that need no download: "photos" of scikit-image, or nca's own "portraits".

    Raises NcaError when the installation lacks them, UsageError for another kind.
    """
    if kind == "photos":
        return _sample_photos()
    if kind == "portraits":
        portraits = sorted((Path(__file__).parents[1] / "assets" / "portraits").glob("*.png"))
        if not portraits:
            raise NcaError("this installation has no sample portraits", "install nca again")
        return portraits
    raise UsageError(f"no sample images of kind {kind!r}", "choose photos or portraits")


def usual_images(models: Iterable[str]) -> list[Path]:
    """The samples taken where no image is named: portraits where a demo model takes part.

    Raises as `sample_images` does.
    """
    demo = any(name in ("demo", "demo-ldm", "demo-run") for name in models)
    return sample_images("portraits" if demo else "photos")


def _sample_photos() -> list[Path]:
    """Astronaut, cat and coffee, found without importing scikit-image."""
    names = ("astronaut", "chelsea", "coffee")
    photos = [photo for name in names if (photo := file_of("skimage", f"data/{name}.png"))]
    if len(photos) < len(names):
        raise NcaError(
            "the sample photos of scikit-image are not installed",
            "pip install scikit-image, or name images of your own",
        )
    return photos
