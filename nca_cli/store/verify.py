"""Is every file what was written? Damaged ones are named and, on request, set aside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nca_cli.errors import NcaError, StoreError
from nca_cli.recipe import Recipe
from nca_cli.store import layout
from nca_cli.store.check import Checked, Child
from nca_cli.store.files import is_stale, locked, sync_folder, write_atomically, writing
from nca_cli.store.hdf5 import Location
from nca_cli.store.header import model_text, parsed
from nca_cli.store.samples import Key
from nca_cli.store.store import Store

TIME_LIMIT = 60.0
"""Seconds that reading one part may take. A part is 256 MB at most."""
Tell = Callable[[Store, Sequence["Gap"]], str]
"""Says what computes some gaps of a store; such as `commands.fill`."""
Look = Callable[[Location], Checked]
"""Reads header and (t, seed) of a part, without its tensors."""


@dataclass(frozen=True)
class Gap:
    """Samples of one image by one model that are not there, and what would make them."""

    made: Recipe | str
    """Their recipe, or as much of one as a label says: `ddim-50`, `noise`."""
    model: Mapping[str, Any]
    """As in `model.json`, as far as that is known."""
    image: Mapping[str, Any]
    """As an artifact's attribute `image` says, as far as that is known."""
    keys: Sequence[Key]


@dataclass(frozen=True)
class Finding:
    """What was found about one file (of a packed store: `file.h5:/model/image/name`)."""

    path: Path
    ok: bool = True
    """False where content is lost. A temporary left over from a kill is no loss: `stale`."""
    reason: str = ""
    command: str | None = None
    """How to compute again what is lost, one line."""
    set_aside: Path | None = None
    """Where the damaged file is now."""
    stale: bool = False


def verify(
    store: Store, *, repair: bool = False, time_limit: float = TIME_LIMIT,
    command: Tell | None = None,
) -> Verification:  # fmt: skip
    """Check every file of a store; `len()` says how many, iterating yields a `Finding` each.

    With `repair`, a damaged file is renamed (`….h5.damaged-1`), `model.json` is restored from an
    artifact, and temporaries left over from kills are removed. A file is read in a child process,
    for `time_limit` seconds at most. `command` puts into words what computes again what is lost.
    Raises `StoreError` for the repair of a packed store.
    """
    if repair and store.exists:
        store.require_writable()
    return Verification(store, repair, time_limit, command)


class Verification:
    """A sized iterable of findings: model files, then parts, then left-over temporaries."""

    def __init__(self, store: Store, repair: bool, time_limit: float, command: Tell | None):
        self.store, self.repair, self.time_limit = store, repair, time_limit
        self.command = command
        self._models = store.backend.model_files()
        self._parts = list(store.all_parts())
        self._temporaries = [path for path in _temporaries(store) if repair or is_stale(path)]

    def __len__(self) -> int:
        return len(self._models) + len(self._parts) + len(self._temporaries)

    def __iter__(self) -> Iterator[Finding]:
        with Child(self.time_limit) as self._child:
            yield from map(self._model, self._models)
            yield from map(self._part, self._parts)
            yield from map(self._temporary, self._temporaries)

    def _part(self, location: Location) -> Finding:
        path = Path(str(location))
        checked = self._child.check(location)
        if not checked.reason:
            return Finding(path)
        lost = Finding(path, False, checked.reason)
        if not checked.damaged:
            return lost
        if self.repair:
            lost = self._set_aside(location, lost)
        return lost if lost.ok else replace(lost, command=self._command(location, checked))

    def _set_aside(self, location: Location, lost: Finding) -> Finding:
        """Rename a damaged file, unless a writer has replaced it in the meantime."""
        with locked(self.store.root, *location.names), writing(location.path):
            if not self._child.check(location).damaged:
                return Finding(lost.path)
            return replace(lost, set_aside=_renamed(location.path))

    def _command(self, location: Location, checked: Checked) -> str | None:
        if self.command is None:
            return None
        return self.command(self.store, [gap_left(self.store, location, checked, self._look)])

    def _look(self, location: Location) -> Checked:
        return self._child.check(location, full=False)

    def _model(self, path: Path) -> Finding:
        model = path.parent.name
        try:
            self.store.model_info(model)
            return Finding(path)
        except StoreError as error:
            lost = Finding(path, False, error.reason)
        return self._restored(model, lost) if self.repair else lost

    def _restored(self, model: str, lost: Finding) -> Finding:
        """Write `model.json` again, as the artifacts of the model tell it."""
        info = next(self._model_infos(model), None)
        with locked(self.store.root, model), writing(lost.path):
            aside = _renamed(lost.path) if lost.path.exists() else None
            if info is not None:
                write_atomically(lost.path, model_text(info).encode())
        return replace(lost, set_aside=aside, reason=f"{lost.reason}; " + (
            "nothing to restore it from" if info is None else "restored from an artifact"
        ))  # fmt: skip

    def _model_infos(self, model: str) -> Iterator[dict]:
        for image in self.store.images(model):
            for location in self.store.parts(model, image):
                found = self._look(location)
                if not found.reason and "model" in found.header:
                    yield parsed(found.header, "model")

    def _temporary(self, path: Path) -> Finding:
        note = Finding(path, reason="left over from an interrupted write", stale=True)
        if not self.repair:
            return note
        with locked(self.store.root, *_lock_key(self.store.root, path)), writing(path):
            path.unlink(missing_ok=True)
        return replace(note, reason=f"{note.reason}; removed")


def _temporaries(store: Store) -> list[Path]:
    """Files that are being written, or were when a writer was killed, anywhere in a folder."""
    root, models = store.folder, store.models()
    if root is None:
        return []
    folders = [root, *(root / model for model in models)]
    folders += [root / model / image for model in models for image in store.images(model)]
    found = (sorted(folder.glob(f".*{layout.TEMPORARY}")) for folder in folders)
    return [path for paths in found for path in paths]


def _renamed(path: Path) -> Path:
    """Give a damaged file a name that nothing reads."""
    aside = layout.set_aside_file(path)
    os.rename(path, aside)
    sync_folder(path.parent)
    return aside


def _lock_key(root: Path, temporary: Path) -> tuple[str, ...]:
    """The lock under which a temporary is written: `.noise.h5.1a2b3c4d.tmp` is noise.h5's."""
    target = temporary.name.removeprefix(".").removesuffix(layout.TEMPORARY).rpartition(".")[0]
    folders = temporary.parent.relative_to(root).parts
    if not folders:
        return (layout.MARKER,)
    if len(folders) == 1:
        return folders
    return (*folders, layout.split_part(target.removesuffix(layout.SUFFIX))[0])


def gap_left(store: Store, location: Location, checked: Checked, look: Look) -> Gap:
    """What a damaged part held, as well as what is left of it and the parts beside it can tell."""
    model, folder, _ = location.names
    others = {part: look(part) for part in store.parts(model, folder) if part != location}
    sound = {part: found for part, found in others.items() if not found.reason}
    headers = [checked.header, *(found.header for found in sound.values())]
    return Gap(
        _made(store, location, checked, look),
        _model(store, model, headers),
        _image(folder, headers),
        checked.keys or _missing(location, sound),
    )


def _made(store: Store, location: Location, checked: Checked, look: Look) -> Recipe | str:
    """The recipe that the name has the digest of; its label where no file tells it."""
    name = location.names[2]
    label, hexes = layout.split_folder(name)
    if name == layout.NOISE:
        return layout.NOISE
    for text in _recipes(store, location, checked, look):
        if hashlib.sha256(text.encode()).hexdigest()[: len(hexes)] == hexes:
            return Recipe.from_json(text)
    return label


def _recipes(store: Store, location: Location, checked: Checked, look: Look) -> Iterator[str]:
    """What the part says, then others of its name: of this image, or of any other."""
    yield checked.header.get("recipe", "")
    for part in store.all_parts():
        if part.names[2] == location.names[2] and part != location:
            yield look(part).header.get("recipe", "")


def _image(folder: str, headers: Iterable[dict[str, str]]) -> dict:
    """Who the image is, from the first header that speaks of it."""
    found = (_parsed(header, "image") for header in headers)
    hexes = layout.split_folder(folder)[1]
    return next((info for info in found if str(info.get("digest")).startswith(hexes)), {})


def _model(store: Store, folder: str, headers: Iterable[dict[str, str]]) -> dict:
    """What `model.json` (which knows the steps of a run) or a header says of the model; its stored
    name where neither does."""
    known = {"name": layout.split_folder(folder)[0]}
    with suppress(NcaError):
        return {**known, **store.model_info(folder)}
    found = (_parsed(header, "model") for header in headers)
    return next((info for info in found if "name" in info), known)


def _parsed(header: dict[str, str], key: str) -> dict:
    try:
        info = json.loads(header[key])
    except (LookupError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _missing(location: Location, others: dict[Location, Checked]) -> list[Key]:
    """What other artifacts of the image hold and the other parts of this one do not."""
    mine = [part for part in others if part.names == location.names]
    held = {key for part in mine for key in others[part].keys}
    stored = {key for found in others.values() for key in found.keys}
    return sorted(stored - held)
