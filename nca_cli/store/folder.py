"""The store: a folder of artifacts (or one packed file, read-only)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

import nca_cli
from nca_cli.errors import DamagedArtifact, NothingStored, StoreError
from nca_cli.recipe import canonical_json
from nca_cli.store import hdf5, layout
from nca_cli.store.artifact import Artifact, Key, Location
from nca_cli.store.files import locked, write_atomically, writing
from nca_cli.store.select import Filters

MAX_PART_BYTES = 256 * 2**20
"""Past this size an artifact continues in another file, so that no commit rewrites gigabytes."""


@dataclass(frozen=True)
class Place:
    """Where the artifacts of one (model, image) lie: two folder names."""

    model: str
    image: str


class Store:
    """Artifacts under `root`: a folder that may not exist yet, or a packed `.h5` file.

    Reading never locks and never writes. Raises `StoreError` for a store of a newer format.
    """

    def __init__(self, root: str | Path = "nca-store", *, part_bytes: int = MAX_PART_BYTES):
        self.root = Path(root)
        self.part_bytes = part_bytes
        self._check_format()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def packed(self) -> bool:
        """Whether the store is one packed file."""
        return self.root.is_file()

    @property
    def exists(self) -> bool:
        """Whether there is a store at `root`."""
        return self.packed or (self.root / layout.MARKER).is_file()

    def _check_format(self) -> None:
        if self.packed:
            with hdf5.opened(self.root) as file:
                if file.attrs.get("format") != layout.FORMAT:
                    raise StoreError(self.root, "is no packed nca store")
        elif self.exists:
            try:
                hdf5.check_version(self.root, json.loads((self.root / layout.MARKER).read_text()))
            except ValueError as error:
                raise StoreError(self.root / layout.MARKER, "is not readable JSON") from error

    # -- reading ---------------------------------------------------------------------------------

    @cached_property
    def _packed_tree(self) -> dict[str, dict[str, list[str]]]:
        """Model → image → parts, of a packed file."""
        with hdf5.opened(self.root) as file:
            return {
                model: {image: list(file[model][image]) for image in file[model]} for model in file
            }

    def models(self) -> list[str]:
        """Model folder names, sorted."""
        if self.packed:
            return sorted(self._packed_tree)
        return _folders(self.root)

    def model_info(self, model: str) -> dict:
        """What `model.json` says: source, schedule, shape, licence."""
        if self.packed:
            with hdf5.opened(self.root) as file:
                return json.loads(file[model].attrs["model"])
        try:
            return json.loads((self.root / model / layout.MODEL_FILE).read_text())
        except (OSError, ValueError) as error:
            raise StoreError(self.root / model / layout.MODEL_FILE, "missing or unreadable") from error

    def images(self, model: str) -> list[str]:
        """Image folder names of a model, sorted."""
        if self.packed:
            return sorted(self._packed_tree[model])
        return _folders(self.root / model)

    def find_image(self, model: str, image_digest: str) -> str | None:
        """Folder name of an image, by the hex of its digest alone: a renamed file keeps its cache."""
        wanted = image_digest[: layout.IMAGE_HEX]
        known = self.images(model) if model in self.models() else []
        return next((name for name in known if layout.split_folder(name)[1] == wanted), None)

    def artifacts(self, model: str, image: str) -> list[Artifact]:
        """All artifacts of an image under a model: noise first, then by name."""
        parts: dict[str, list[tuple[int, Location]]] = {}
        for stem, location in self._parts(model, image):
            name, number = layout.split_part(stem)
            parts.setdefault(name, []).append((number, location))
        found = [
            Artifact(model, image, name, tuple(place for _, place in sorted(numbered, key=lambda p: p[0])))
            for name, numbered in parts.items()
        ]
        return sorted(found, key=lambda artifact: (not artifact.is_noise, artifact.name))

    def artifact(self, place: Place, name: str) -> Artifact | None:
        """One artifact by name, or `None`."""
        if self.packed:
            known = self.artifacts(place.model, place.image)
            return next((artifact for artifact in known if artifact.name == name), None)
        folder, parts = self.root / place.model / place.image, []
        while (path := layout.part_file(folder, name, len(parts))).is_file():
            parts.append(Location(path))
        return Artifact(place.model, place.image, name, tuple(parts)) if parts else None

    def _parts(self, model: str, image: str) -> Iterator[tuple[str, Location]]:
        if self.packed:
            for stem in self._packed_tree[model][image]:
                yield stem, Location(self.root, f"/{model}/{image}/{stem}")
        else:
            folder = self.root / model / image
            for path in sorted(folder.glob(f"[!.]*{layout.SUFFIX}")):
                yield path.name.removesuffix(layout.SUFFIX), Location(path)

    def select(self, filters: Filters = Filters()) -> list[Artifact]:  # noqa: B008
        """All artifacts that fit, noise included, sorted by model, image and name."""
        return [
            artifact
            for model in self.models() if filters.fits_model(model)
            for image in self.images(model) if filters.fits_image(image)
            for artifact in self.artifacts(model, image) if filters.fits(artifact)
        ]  # fmt: skip

    def require(self) -> Store:
        """This store, or `NothingStored` where there is none."""
        if not self.exists or not self.models():
            raise NothingStored(f"{self.root} holds nothing yet", "fill it: nca reconstruct --model demo")
        return self

    # -- writing ---------------------------------------------------------------------------------

    def place(self, model: str, info: Mapping[str, object], image: str, image_digest: str) -> Place:
        """Folders for the artifacts of (model, image), made when they are not there yet."""
        self._writable()
        folder = self.root / model
        if not (folder / layout.MODEL_FILE).is_file():
            with locked(self.root, model):
                text = json.dumps(info, indent=2, sort_keys=True, ensure_ascii=False)
                write_atomically(folder / layout.MODEL_FILE, (text + "\n").encode())
        with locked(self.root, model, image_digest[: layout.IMAGE_HEX]):
            name = self.find_image(model, image_digest) or layout.image_folder(image, image_digest)
            with writing(self.root):
                (folder / name).mkdir(exist_ok=True)
        return Place(model, name)

    def _writable(self) -> None:
        if self.packed:
            raise StoreError(self.root, "is a packed store, read-only", "unpack it: nca pack --unpack")
        if not self.exists:
            marker = {"format": layout.FORMAT, "version": layout.FORMAT_VERSION}
            with locked(self.root, layout.MARKER):
                write_atomically(self.root / layout.MARKER, (canonical_json(marker) + "\n").encode())

    def commit(
        self, place: Place, name: str, header: Mapping[str, str], samples: hdf5.Samples,
        fixed: Mapping[str, np.ndarray] | None = None, dtype: str = "float32",
    ) -> int:  # fmt: skip
        """Merge new samples into an artifact; what it held already is kept bit for bit.

        Returns how many samples were new. Safe against kills and other writers. Raises
        `StoreError` (disk full, read-only) and `DamagedArtifact`; then nothing has changed.
        """
        with locked(self.root, place.model, place.image, name):
            known = self.artifact(place, name)
            fresh = _without(samples, known.keys if known else set())
            if known and not len(fresh):
                return 0
            for tensor, values in fresh.tensors.items():
                fresh.tensors[tensor] = values.astype(dtype, copy=False)
            text = {**header, "written_by": f"nca {nca_cli.__version__}"}
            self._append(place, name, known, hdf5.Part(text, dict(fixed or {}), fresh))
            return len(fresh)

    def _append(self, place: Place, name: str, known: Artifact | None, new: hdf5.Part) -> None:
        """Fill the last part up to the limit, then begin new ones."""
        folder, number = self.root / place.model / place.image, 0
        part = hdf5.Part(new.header, new.fixed, new.samples.take(slice(0, 0)))
        if known:
            number = len(known.parts) - 1
            with hdf5.opened(known.parts[-1].path) as group:
                part = hdf5.read_part(group)
        rest = new.samples
        while True:
            room = self._room(part, rest) if part.dtype == new.dtype or not len(part.samples) else 0
            if room:
                merged = part.samples.followed_by(rest.take(slice(0, room))) if len(part.samples) else rest.take(slice(0, room))
                part = hdf5.Part(part.header, part.fixed, merged)
                write_atomically(layout.part_file(folder, name, number), hdf5.file_image(part))
            elif number == 0 and not known:
                write_atomically(layout.part_file(folder, name, number), hdf5.file_image(part))
            rest = rest.take(slice(room, None))
            if not len(rest):
                return
            number, part = number + 1, hdf5.Part(new.header, {}, rest.take(slice(0, 0)))

    def _room(self, part: hdf5.Part, rest: hdf5.Samples) -> int:
        """How many of `rest` the part may still take; an empty one takes at least one."""
        each = max(1, rest.bytes_per_sample)
        room = self.part_bytes // each - len(part.samples)
        return int(min(len(rest), max(room, 0 if len(part.samples) else 1)))

    def remove(self, artifact: Artifact, keys: Iterable[Key] | None = None) -> int:
        """Delete an artifact, or only some of its samples. Returns how many bytes are free now."""
        self._writable()
        place = Place(artifact.model, artifact.image)
        with locked(self.root, place.model, place.image, artifact.name), writing(self.root):
            current = self.artifact(place, artifact.name)
            if current is None:
                return 0
            before = current.bytes
            gone = current.keys if keys is None else set(keys)
            if gone >= current.keys:
                _delete(current)
                return before
            self._rewrite_without(current, gone)
            return before - self.artifact(place, artifact.name).bytes

    def _rewrite_without(self, artifact: Artifact, gone: set[Key]) -> None:
        """Rewrite each part that holds one of `gone`; a part may become empty, but stays."""
        for location in artifact.parts:
            with hdf5.opened(location.path) as group:
                part = hdf5.read_part(group)
            rest = _without(part.samples, gone)
            if len(rest) < len(part.samples):
                kept = hdf5.Part(part.header, part.fixed, rest)
                write_atomically(location.path, hdf5.file_image(kept))


def _folders(parent: Path) -> list[str]:
    """Names of the folders in `parent`, hidden ones left out."""
    if not parent.is_dir():
        return []
    return sorted(path.name for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")


def _without(samples: hdf5.Samples, keys: set[Key]) -> hdf5.Samples:
    """The samples whose (t, seed) is not in `keys`, each (t, seed) once."""
    seen, rows = set(keys), []
    for row, key in enumerate(samples.keys):
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return samples.take(rows)


def _delete(artifact: Artifact) -> None:
    """Last part first, so that a kill leaves parts that still follow one another."""
    for location in reversed(artifact.parts):
        location.path.unlink(missing_ok=True)
    folder = artifact.parts[0].path.parent
    if not any(folder.glob("*")):
        folder.rmdir()


