"""Whether a part holds what was written, and lies where it belongs.

Where a file is damaged HDF5 may hang or crash, so whoever checks lets another process read:
`store.child`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import h5py

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store import hdf5, layout
from nca_cli.store.fields import FIELDS
from nca_cli.store.header import describes_image, describes_model, parsed, space_hex
from nca_cli.store.location import Location
from nca_cli.store.packed import tree
from nca_cli.store.samples import Key

NEEDED = {"noise": "x_t", "reconstruction": "x0_hat"}
"""The dataset that an artifact with samples has, by its kind."""
ALL, HEAD, TREE = "all", "head", "tree"
"""What is checked: a whole part, its header and (t, seed) alone, or the tree of a packed file."""
OTHER_MODEL = "belongs to another model"


@dataclass
class Checked:
    """What is wrong with a part (`reason`, empty if nothing), and what could be read of it."""

    reason: str = ""
    damaged: bool = False
    """False for a part that is sound, and for one that could not be checked: it is gone, of a newer
    format, in use, or this machine lacks what it takes to read it."""
    hint: str = ""
    """What to do about a part that could not be checked."""
    header: dict[str, str] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)


def check(location: Location, what: str = ALL) -> Checked:
    """Read a part, its header and (t, seed); check structure, place and content digest (`ALL`).

    The root of a packed file has a `TREE`: what it says it holds can be listed.
    """
    checked = Checked()
    try:
        with location.opened() as group:
            if what != TREE:
                _read(location, group, checked, what == ALL)
            elif group.attrs.get("format") == layout.FORMAT:  # else it is no store, not a bad one
                tree(group)
            checked.damaged = bool(checked.reason)
    except DamagedArtifact as error:
        checked.reason, checked.damaged = error.damage, True
    except StoreError as error:
        checked.reason = error.reason if location.path.exists() else ""
        checked.hint = error.hint or ""
    return checked


def _read(location: Location, group: h5py.Group, checked: Checked, full: bool) -> None:
    """Nothing is read of a dataset that is not what the format says: it may be of any size."""
    checked.header = hdf5.read_header(group)
    wrong = {name: reason for name in group if (reason := _dataset(group, name))}
    if not wrong.keys() & {"t", "seed"}:
        checked.keys = hdf5.read_keys(group)
    checked.reason = next(iter(wrong.values()), "")
    if full:
        checked.reason = checked.reason or _problem(location, group, checked.header)


def _problem(location: Location, group: h5py.Group, header: dict[str, str]) -> str:
    """The first thing that is wrong, or an empty text."""
    if group.attrs.get("format") != layout.ARTIFACT_FORMAT:
        return "not an nca artifact"
    return (
        _structure(group, header.get("kind", ""))
        or ("" if group.attrs["content_sha256"] == hdf5.content_digest(group) else
            hdf5.WRONG_DIGEST)
        or _misplaced(location, header)
    )  # fmt: skip


def _dataset(group: h5py.Group, name: str) -> str:
    """What keeps a member of a part from being a dataset whose numbers are in this very file."""
    data = group[name]
    if not isinstance(data, h5py.Dataset):
        return f"incomplete dataset {name}"
    made = data.id.get_create_plist()
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if data.external or data.is_virtual or filters - {h5py.h5z.FILTER_FLETCHER32}:
        return f"dataset {name} is stored in a way that the format does not allow"
    if data.dtype.kind not in "iuf":
        return f"dataset {name} holds no numbers"
    held = min(data.id.get_storage_size(), data.file.id.get_filesize())
    return f"incomplete dataset {name}" if data.nbytes > held else ""


def _structure(group: h5py.Group, kind: str) -> str:
    """Every dataset that is needed is there, and counts the same samples."""
    needed = NEEDED.get(kind)
    if needed is None:
        return f"unknown kind {kind!r}"
    count = len(group["t"])
    if count and needed not in group:
        return f"no dataset {needed}"
    counted = [name for name, field in FIELDS.items() if not field.fixed] + ["sample"]
    wrong = [name for name in counted if name in group and group[name].shape[:1] != (count,)]
    if wrong:
        return f"{wrong[0]} counts other samples than t"
    flat = [name for name, field in FIELDS.items()
            if name in group and group[name].ndim != len(field.dims)]  # fmt: skip
    return f"{flat[0]} has not the axes of its kind" if flat else ""


def _misplaced(location: Location, header: dict[str, str]) -> str:
    """An artifact lies under the names that its attributes give it."""
    model, image, name = location.names
    if not describes_model(owner := parsed(header, "model")):
        return "does not describe its model"
    if layout.split_folder(model)[1] != space_hex(owner):
        return OTHER_MODEL
    if layout.split_folder(image)[1] != parsed(header, "image")["digest"][: layout.IMAGE_HEX]:
        return "belongs to another image"
    if not describes_image(parsed(header, "image")):
        return "does not describe its image"
    if header["kind"] == "noise":
        return "" if name == layout.NOISE else "noise under another name"
    recipe = hashlib.sha256(header["recipe"].encode()).hexdigest()
    if layout.split_folder(name)[1] != recipe[:8]:
        return "belongs to another recipe"
    parsed(header, "recipe")  # raises where it is none
    return ""
