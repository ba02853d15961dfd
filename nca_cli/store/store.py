"""The store: a folder of artifacts (or one packed file, read-only)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from nca_cli.errors import NotAStore, NothingStored, StoreError
from nca_cli.recipe import DEFAULT_STORE
from nca_cli.store import hdf5, layout, merge
from nca_cli.store.artifact import Artifact, html_table
from nca_cli.store.backend import backend_of
from nca_cli.store.files import locked, write_atomically, writing
from nca_cli.store.head import PartHead
from nca_cli.store.header import describes_model, model_text, signed, told_by
from nca_cli.store.index import stamp_of
from nca_cli.store.location import Location
from nca_cli.store.opening import check_version
from nca_cli.store.samples import Key, Part, Samples
from nca_cli.store.sealed import NotAsWritten
from nca_cli.store.select import Filters

MAX_PART_BYTES = 256 * 2**20
"""Past this size an artifact continues in another file, so that no commit rewrites gigabytes."""

START_HINT = "start with: nca reconstruct --model demo"
"""What makes a store, where there is none."""
NAME_HINT = "name an existing store: a folder or a packed file"
"""What to do instead, where a store that was just begun is of no use."""


@dataclass(frozen=True)
class Place:
    """Where the artifacts of one (model, image) lie: two folder names."""

    model: str
    image: str


class Store:
    """Artifacts under `root`: a folder that may not exist yet, or a packed `.h5` file.

    `usual` is the store that commands take when none is named: what is told to run names another
    one. What nobody vouches for (see `Trust`) is checked before it is read, unless `check` is
    false. Reading never locks, and writes nothing but the index. Raises `StoreError` for a store of
    a newer format.
    """

    def __init__(
        self, root: str | Path = DEFAULT_STORE, *, part_bytes: int = MAX_PART_BYTES,
        usual: str | Path = DEFAULT_STORE, check: bool = True,
    ):  # fmt: skip
        self.root, self.usual = Path(root), Path(usual)
        self.backend = backend_of(self.root, check)
        self.part_bytes = part_bytes
        self._check_format()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def _repr_html_(self) -> str:
        """A table of models, for notebooks: names alone, no artifact is opened."""
        if not self.exists:
            return f"<p>{escape(str(self.root))}: no store yet</p>"
        rows = []
        for model in self.models():
            held = [self.artifacts(model, image) for image in self.images(model)]
            samplers = {each.label for some in held for each in some if not each.is_noise}
            rows.append((model, len(held), sum(map(len, held)), ", ".join(sorted(samplers))))
        return html_table(str(self.root), ("model", "images", "artifacts", "samplers"), rows)

    @property
    def packed(self) -> bool:
        """Whether the store is one packed file, which is read-only."""
        return self.folder is None

    @property
    def folder(self) -> Path | None:
        """Where what is derived of artifacts may be kept; None for a packed store."""
        return self.backend.folder

    @property
    def exists(self) -> bool:
        """Whether there is a store at `root`."""
        return self.backend.exists

    @property
    def among_others(self) -> bool:
        """Whether `root` is a folder of other things, where a store has yet to begin."""
        if self.exists or not self.root.is_dir():
            return False
        return any(not path.name.startswith(".") for path in self.root.iterdir())

    def _check_format(self) -> None:
        if not self.exists:
            return
        stamp = self.backend.stamp()
        if stamp.get("format") != layout.FORMAT:
            raise NotAStore(self.root, "is not an nca store")
        try:
            check_version(self.root, stamp)
        except (TypeError, ValueError, OverflowError) as error:
            what = "has no readable format version"
            raise StoreError(self.root, what, "take it from a copy of the store") from error

    def models(self) -> list[str]:
        """Model folder names, sorted."""
        return self.backend.models()

    def model_text(self, model: str) -> str:
        """The text of `model.json`."""
        try:
            return self.backend.model_text(model)
        except (OSError, ValueError) as error:
            raise self._no_model(model) from error

    def model_info(self, model: str) -> dict:
        """What `model.json` says: source, schedule, shape, licence."""
        try:
            info = told_by(self.model_text(model))
        except NotAsWritten as error:
            raise self._no_model(model, str(error)) from error
        except (ValueError, RecursionError) as error:
            raise self._no_model(model) from error
        if not describes_model(info):
            raise self._no_model(model, "does not describe a model")
        return dict(info)

    def _no_model(self, model: str, reason: str = "missing or unreadable") -> StoreError:
        path = self.root / model / layout.MODEL_FILE
        hint = (
            "pack the store again: nca pack" if self.packed else "restore it: nca verify --repair"
        )
        return StoreError(path, reason, hint)

    def images(self, model: str) -> list[str]:
        """Image folder names of a model, sorted."""
        return self.backend.images(model)

    def find_image(self, model: str, image_digest: str) -> str | None:
        """Folder name of an image, by the hex of its digest alone: a renamed file keeps its cache.

        None where the image is not stored.
        """
        return next(iter(self.backend.images(model, f"-{image_digest[: layout.IMAGE_HEX]}")), None)

    def image_folders(self, model: str) -> dict[str, str]:
        """Hex of an image's digest → its folder name, of all images of a model in one listing."""
        return {layout.split_folder(name)[1]: name for name in reversed(self.images(model))}

    def artifacts(self, model: str, image: str) -> list[Artifact]:
        """All artifacts of an image under a model: noise first, then by name."""
        parts: dict[str, list[Location]] = {}
        for location in self.parts(model, image):
            parts.setdefault(layout.split_part(location.stem)[0], []).append(location)
        found = [
            Artifact(model, image, name, tuple(sorted(held, key=lambda part: part.number)))
            for name, held in parts.items()
        ]
        return sorted(found, key=lambda artifact: (not artifact.is_noise, artifact.name))

    def artifact(self, place: Place, name: str) -> Artifact | None:
        """One artifact by name, or `None`."""
        known = self.artifacts(place.model, place.image)
        return next((artifact for artifact in known if artifact.name == name), None)

    def parts(self, model: str, image: str) -> Iterator[Location]:
        """Every part of every artifact of an image, by name; numbers may have gaps."""
        return self.backend.parts(model, image)

    def all_parts(self) -> Iterator[Location]:
        """Every part of the store, by model, image and name."""
        for model in self.models():
            for image in self.images(model):
                yield from self.parts(model, image)

    def select(self, filters: Filters = Filters()) -> list[Artifact]:  # noqa: B008
        """All artifacts that fit, noise included, sorted by model, image and name; none where no
        reconstruction is of a sampler, recipe or step that the filters name."""
        found = []
        for model in filter(filters.fits_model, self.models()):
            some = [
                artifact
                for image in self.images(model) if filters.fits_image(image)
                for artifact in self.artifacts(model, image) if filters.fits(artifact)
            ]  # fmt: skip
            found += filters.of_steps(some) if filters.by_step and self.is_run(model) else some
        return found if filters.met_by(found) else []

    def is_run(self, model: str) -> bool:
        """Whether a model's artifacts are of a training's checkpoints."""
        with suppress(StoreError):
            return "run" in self.model_info(model)
        return True  # then their headers say it

    def require(self, hint: str = START_HINT) -> Store:
        """This store, or `NothingStored`, with `hint`, where there is none. A folder of other
        things was hardly meant to become one."""
        if self.exists and self.models():
            return self
        if self.among_others:
            raise NothingStored(f"{self.root} is a folder without a store", NAME_HINT)
        what = f"{self.root} holds nothing yet" if self.exists else f"no store at {self.root}"
        raise NothingStored(what, hint, self.named if hint == START_HINT else None)

    @property
    def named(self) -> Path | None:
        """The store that a command must name to mean this one; `None`: it is taken anyway."""
        return None if self.root == self.usual else self.root

    def place(self, model: str, info: Mapping[str, object], image: str, image_digest: str) -> Place:
        """Folders for the artifacts of (model, image), made when they are not there yet.

        Where they are, nothing is written, and nothing is locked unless the image was renamed.
        """
        folder, name = self.describe(model, info), layout.image_folder(image, image_digest)
        if (folder / name).is_dir():
            return Place(model, name)
        return Place(model, self._image_of(folder, name))

    def describe(self, model: str, info: Mapping[str, object]) -> Path:
        """A model's folder, made with its `model.json` where it is not there yet."""
        self.require_writable()
        folder = self.root / model
        file = folder / layout.MODEL_FILE
        if not file.is_file():
            with locked(self.root, model):
                if not file.is_file():  # another writer was faster, and may have added steps since
                    write_atomically(file, model_text(info).encode())
        return folder

    def _image_of(self, model: Path, name: str) -> str:
        """The image's folder, made unless there is one, with another name perhaps. That is asked
        once, and under the lock, since it takes a listing of all images."""
        hexes = layout.split_folder(name)[1]
        with locked(self.root, model.name, hexes), writing(model):
            name = self.find_image(model.name, hexes) or name
            (model / name).mkdir(parents=True, exist_ok=True)
        return name

    def require_writable(self) -> None:
        """Raise `StoreError` for a packed store; stamp a folder that is no store yet."""
        self.backend.require_writable()

    def commit(
        self, place: Place, name: str, header: Mapping[str, str], samples: Samples,
        fixed: Mapping[str, np.ndarray] | None = None, dtype: str = "float32", *,
        replace: bool = False,
    ) -> int:  # fmt: skip
        """Merge new samples into an artifact; what it held already is kept bit for bit.

        With `replace`, samples of the same (t, seed) make way for the new ones: at any instant the
        store holds one of the two. Returns how many samples were written. Safe against kills and
        other writers. Raises `StoreError` (disk full, read-only) and `DamagedArtifact`; then no
        file is half written.
        """
        self.require_writable()
        with locked(self.root, place.model, place.image, name):
            known = self.artifact(place, name)
            sound = known.sound if known else None
            held = sound.keys if sound else set()
            fresh = samples.as_stored(dtype).without(set() if replace else held)
            missing = merge.lacking(sound, fixed or {})
            if known and not len(fresh) and not missing:
                return 0
            folder = self.root / place.model / place.image
            new = Part(signed(header), missing, fresh)
            if known and not held.isdisjoint(fresh.keys):
                self._forget_derived()
                merge.replace(folder, name, known, new, self.part_bytes, self._write)
            else:
                merge.append(folder, name, known, new, self.part_bytes, self._write)
            return len(fresh)

    def _write(self, path: Path, part: Part) -> None:
        """A part, under the lock of its artifact; it is read back, so that it is vouched for."""
        heads: list[PartHead] = []
        hdf5.write_file(path, part, lambda held: heads.append(PartHead.in_content(held)))
        self.backend.guard.vouch(Location(path), stamp_of(path), heads[0])

    def remove(self, artifact: Artifact, keys: Iterable[Key] | None = None) -> int:
        """Delete an artifact, or only some of its samples. Returns how many bytes are free now.

        An x_t stays while an x̂0 refers to it, one that came after `keys` were chosen too; noise
        without samples stays for its x0 while other artifacts of the image are there. With
        `keys=None` all goes, and so does an artifact that is damaged.
        """
        self.require_writable()
        place = Place(artifact.model, artifact.image)
        with locked(self.root, place.model, place.image, artifact.name), writing(self.root):
            current = self.artifact(place, artifact.name)
            if current is None:
                return 0
            self._forget_derived()
            before = current.bytes
            if keys is None:
                merge.delete(current)
            else:
                self._remove_unused(current, set(keys))
            return before - current.bytes

    def _forget_derived(self) -> None:
        """Delete what was made of samples, since some of them go."""
        shutil.rmtree(self.root / layout.DERIVED, ignore_errors=True)

    def _remove_unused(self, artifact: Artifact, gone: set[Key]) -> None:
        """Delete samples, of noise those alone that no reconstruction of its image holds now."""
        known = self.artifacts(artifact.model, artifact.image) if artifact.is_noise else []
        users = [other for other in known if not other.is_noise]
        gone = gone.difference(*(user.keys for user in users))
        if artifact.keys <= gone and not users:
            merge.delete(artifact)
        else:
            merge.remove_samples(artifact.parts, gone, self._write)
