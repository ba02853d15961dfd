"""Is every file what was written? Damaged ones are named and, on request, set aside."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nca_cli.devices import cores
from nca_cli.errors import StoreError
from nca_cli.store import layout
from nca_cli.store.check import HEAD, OTHER_MODEL, Checked
from nca_cli.store.child import TIME_LIMIT, Children
from nca_cli.store.files import (
    discard,
    is_stale,
    locked,
    sync_folder,
    temporaries,
    write_atomically,
    writing,
)
from nca_cli.store.gaps import Gap, gap_left
from nca_cli.store.header import model_problem, model_text, parsed, space_hex, told_by, with_steps
from nca_cli.store.index import stamp_of
from nca_cli.store.location import Location
from nca_cli.store.steps import stored_steps
from nca_cli.store.store import Store

PARTS_OF_A_CHILD = 50
"""Parts for which another process that reads them is worth its start."""
Tell = Callable[[Store, Sequence[Gap]], str]
"""Says what computes some gaps of a store; such as `commands.fill`."""
Keep = Callable[[Gap], bool]
"""Whether a damaged part stays where it is, since nothing can compute it again."""


@dataclass(frozen=True)
class Finding:
    """What was found about one file (of a packed store: `file.h5:/model/image/name`)."""

    path: Path
    ok: bool = True
    """False where content is lost, or where that could not be found out (`unchecked`). A temporary
    left over from a kill is no loss: `stale`."""
    reason: str = ""
    command: str | None = None
    """How to compute again what is lost, one line."""
    set_aside: Path | None = None
    """Where the damaged file is now."""
    stale: bool = False
    unchecked: bool = False
    """Nothing is known to be wrong: this machine could not read it as it is now."""
    kept: bool = False
    """Whether it is damaged and stays where it is, since nothing can compute it again."""
    repaired: bool = False
    """Whether what was wrong is right again."""
    hint: str = ""
    """What to do next."""


def verify(
    store: Store, *, repair: bool = False, time_limit: float = TIME_LIMIT,
    command: Tell | None = None, keep: Keep = lambda gap: False,
) -> Verification:  # fmt: skip
    """Check every file of a store; `len()` says how many, iterating yields a `Finding` each.

    With `repair`, a damaged file is renamed (`….h5.damaged-1`) unless it is one to `keep`,
    `model.json` is restored from an artifact, and temporaries left over from kills are removed. A
    file is read in a child process, for `time_limit` seconds and as its size needs. `command` puts
    into words what computes again what is lost. Raises `StoreError` for the repair of a packed
    store.
    """
    work = Verification(store, repair, time_limit, command, keep)
    if repair and store.exists:
        store.require_writable()
    return work


class Verification:
    """A sized iterable of findings: marker and model files, then parts, then left-over
    temporaries."""

    def __init__(
        self, store: Store, repair: bool, time_limit: float, command: Tell | None, keep: Keep
    ):
        self.store, self.repair, self.time_limit = store, repair, time_limit
        self.command, self.keep = command, keep
        marker = store.root / layout.MARKER
        lost = store.exists and not store.packed and not marker.exists()
        self._markers = [marker] if lost else []
        self._models = store.backend.model_files()
        self._parts = list(store.all_parts())
        self._temporaries = [path for path in _temporaries(store) if repair or is_stale(path)]
        self._beside = _left_beside(store.root)

    def __len__(self) -> int:
        every = (self._markers, self._models, self._parts, self._temporaries, self._beside)
        return sum(len(each) for each in every)

    def __iter__(self) -> Iterator[Finding]:
        count = max(1, min(cores(), len(self._parts) // PARTS_OF_A_CHILD))
        with Children(count, self.time_limit) as self._child:
            yield from map(self._marker, self._markers)
            yield from map(self._model, self._models)
            yield from self._at_once(count)
            yield from map(self._temporary, self._temporaries)
            yield from map(self._unfinished, self._beside)

    def _at_once(self, count: int) -> Iterator[Finding]:
        """What is found about the parts, in their order, several of which are read at once."""
        threads = ThreadPoolExecutor(count, thread_name_prefix="verify")
        try:
            yield from threads.map(self._part, self._parts)
        finally:
            threads.shutdown(cancel_futures=True)

    def _marker(self, path: Path) -> Finding:
        reason = "missing; written again" if self.repair else "missing"
        return Finding(path, False, reason, repaired=self.repair)

    def _part(self, location: Location) -> Finding:
        path, stamp = Path(str(location)), stamp_of(location.path)
        checked = self._child.check(location)
        if not checked.reason:
            if stamp:
                self.store.backend.guard.vouch(location, stamp)
            return Finding(path)
        if not checked.damaged:
            return Finding(path, False, checked.reason, unchecked=True, hint=checked.hint)
        if checked.reason == OTHER_MODEL and (renaming := self._renaming(location.names[0])):
            return Finding(path, False, "its folder was renamed", hint=renaming)
        gap = gap_left(self.store, location, checked, self._look)
        command = self.command(self.store, [gap]) if self.command else None
        lost = Finding(path, False, checked.reason, command=command)
        if self.repair and self.keep(gap):
            return replace(lost, kept=True)
        return self._set_aside(location, lost) if self.repair else lost

    def _set_aside(self, location: Location, lost: Finding) -> Finding:
        """Rename a damaged file, unless a writer has replaced it in the meantime."""
        with locked(self.store.root, *location.names), writing(location.path):
            if not self._child.check(location).damaged:
                return Finding(lost.path)
            return replace(lost, set_aside=_renamed(location.path))

    def _look(self, location: Location) -> Checked:
        return self._child.check(location, HEAD)

    def _model(self, path: Path) -> Finding:
        model = path.parent.name
        try:
            info = self.store.model_info(model)
            reason = model_problem(info, model)
        except StoreError as error:
            reason = error.reason
        if renaming := self._renaming(model):
            return Finding(path, False, "its folder was renamed", hint=renaming)
        if not reason and self._contradicted(model, info):
            reason = "says another name than the artifacts"
        if not reason:
            return Finding(path)
        lost = Finding(path, False, reason)
        return self._restored(model, lost) if self.repair else lost

    def _renaming(self, model: str) -> str:
        """The command that gives a model's folder its name again, where `model.json` and an
        artifact agree that it has another one; else an empty text."""
        with suppress(StoreError, ValueError, LookupError, TypeError, RecursionError):
            said = space_hex(told_by(self.store.model_text(model)))
            name, hexes = layout.split_folder(model)
            if hexes != said and any(said == space_hex(each) for each in self._told(model)):
                folder = self.store.root / model
                right = folder.with_name(f"{name}-{said}")
                return f"mv {shlex.quote(str(folder))} {shlex.quote(str(right))}"
        return ""

    def _contradicted(self, model: str, info: dict) -> bool:
        """Whether artifacts of a model agree on another name than `model.json`."""
        names = {str(each.get("name")) for each in self._told(model, agreeing=str(info["name"]))}
        return bool(names) and str(info["name"]) not in names

    def _restored(self, model: str, lost: Finding) -> Finding:
        """Write `model.json` again, as the artifacts of the model tell it."""
        fitting = layout.split_folder(model)[1]
        info = next((each for each in self._told(model) if space_hex(each) == fitting), None)
        if info is not None and "run" in info:
            info = with_steps(info, stored_steps(self.store, model))
        with locked(self.store.root, model), writing(lost.path):
            aside = _renamed(lost.path) if lost.path.exists() else None
            if info is not None:
                write_atomically(lost.path, model_text(info).encode())
        done = "nothing to restore it from" if info is None else "restored from an artifact"
        reason = f"{lost.reason}; {done}"
        return replace(lost, set_aside=aside, repaired=info is not None, reason=reason)

    def _told(self, model: str, agreeing: str = "") -> Iterator[dict]:
        """What the artifacts of a model say of it, until one agrees on its name."""
        for image in self.store.images(model):
            for location in self.store.parts(model, image):
                found = self._look(location)
                with suppress(ValueError, LookupError, TypeError):
                    info = parsed(found.header, "model")
                    if not found.reason and isinstance(info, dict) and "space" in info:
                        yield info
                        if agreeing and str(info.get("name")) == agreeing:
                            return

    def _temporary(self, path: Path) -> Finding:
        note = Finding(path, reason="left over from an interrupted write", stale=True)
        if not self.repair:
            return note
        with locked(self.store.root, *_lock_key(self.store.root, path)), writing(path):
            path.unlink(missing_ok=True)
        return replace(note, reason=f"{note.reason}; removed")

    def _unfinished(self, path: Path) -> Finding:
        note = Finding(path, reason="left over from a pack that was killed", stale=True)
        if not self.repair:
            return note
        with writing(path):
            discard(path)
        return replace(note, reason=f"{note.reason}; removed")


def _left_beside(root: Path) -> list[Path]:
    """What a killed `pack` or `pack --unpack` left beside a store."""
    root = root.absolute()
    packed = root.with_name(f"{root.name}{layout.SUFFIX}")
    return [path for each in (root, packed) for path in temporaries(each) if is_stale(path)]


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
