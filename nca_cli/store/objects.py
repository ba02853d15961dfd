"""Datasets and attributes by HDF5's own calls, with types and property lists made once.

A commit makes and reads back some fifty of them; h5py's objects, which guess what these calls are
told, take twice the processor time. What is written is the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5ds, h5p, h5s, h5t

TEXT = h5py.string_dtype()


@lru_cache
def _type_of(dtype: np.dtype) -> h5t.TypeID:
    """Raises `ValueError` for what is no number or text of fixed length."""
    if dtype.hasobject:
        raise ValueError(f"{dtype} is not a type of numbers")
    return h5t.py_create(dtype, logical=True)


@lru_cache(1)
def _single() -> h5s.SpaceID:
    return h5s.create(h5s.SCALAR)


@lru_cache(1)
def _text_types() -> tuple[h5t.TypeID, h5t.TypeID]:
    """Of a text in a file (UTF-8, of any length), and in memory."""
    return h5t.py_create(TEXT, logical=True), h5t.py_create(TEXT)


@lru_cache
def _chunked(chunks: tuple[int, ...]) -> h5p.PropDCID:
    """Chunks with a checksum each, and no time of writing: equal parts are equal files."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(chunks)
    properties.set_fletcher32()
    properties.set_obj_track_times(False)
    return properties


def make_dataset(
    group: h5py.Group, name: str, dtype: np.dtype, shape: tuple[int, ...],
    chunks: tuple[int, ...], maxshape: tuple[int | None, ...],
) -> h5d.DatasetID:  # fmt: skip
    """A new dataset with checksums, without values yet. An axis whose `maxshape` is None may grow
    without a limit."""
    limits = tuple(h5s.UNLIMITED if size is None else size for size in maxshape)
    space = h5s.create_simple(shape, limits)
    return h5d.create(group.id, name.encode(), _type_of(dtype), space, dcpl=_chunked(chunks))


def write_values(data: h5d.DatasetID, values: np.ndarray) -> None:
    """All values of a dataset of that shape."""
    data.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values), mtype=_type_of(values.dtype))


def write_text(owner: h5py.h5g.GroupID | h5d.DatasetID, name: str, text: str) -> None:
    """A new attribute: UTF-8 of any length."""
    stored, held = _text_types()
    attribute = h5a.create(owner, name.encode(), stored, _single())
    attribute.write(np.array(text, dtype=TEXT), mtype=held)


def write_value(owner: h5py.h5g.GroupID | h5d.DatasetID, name: str, value: int | np.bytes_) -> None:
    """A new attribute: an integer, or an ASCII text of fixed length."""
    held = np.asarray(value)
    kind = _type_of(held.dtype)
    attribute = h5a.create(owner, name.encode(), kind, _single())
    attribute.write(held, mtype=kind)


def label_axis(data: h5d.DatasetID, axis: int, scale: h5d.DatasetID) -> None:
    """Say that an axis of a dataset is measured by a dimension scale."""
    h5ds.attach_scale(data, scale, axis)


def make_scale(data: h5d.DatasetID, label: str) -> None:
    """Make a dataset the dimension scale of axes that are called `label`."""
    h5ds.set_scale(data, label.encode())


def has_attribute(group: h5py.Group, name: str) -> bool:
    """Whether a group has an attribute of that name."""
    return bool(h5a.exists(group.id, name.encode()))


def read_attributes(group: h5py.Group) -> dict[str, Any]:
    """Every attribute of a group, as h5py tells it."""
    every = (h5a.open(group.id, index=number) for number in range(h5a.get_num_attrs(group.id)))
    return {each.name.decode(): _value_of(each, group) for each in every}


def _value_of(attribute: h5a.AttrID, group: h5py.Group) -> Any:
    stored, held = _text_types()
    single = attribute.shape == ()
    if single and attribute.get_type() == stored:
        text = np.empty((), TEXT)
        attribute.read(text, mtype=held)
        return text.item().decode("utf-8", "surrogateescape")
    if single and attribute.dtype.kind in "iu":
        number = np.empty((), attribute.dtype)
        attribute.read(number, mtype=_type_of(number.dtype))
        return number[()]
    return group.attrs[attribute.name.decode()]


def read_datasets(group: h5py.Group) -> dict[str, np.ndarray]:
    """Every dataset of a group, whole. Raises `ValueError` for one that holds no numbers, and
    what h5py does for anything that is no dataset."""
    found = {}
    for name in group.id:
        data = h5d.open(group.id, name)
        values = np.empty(data.shape, data.dtype)
        if values.size:
            data.read(h5s.ALL, h5s.ALL, values, mtype=_type_of(values.dtype))
        found[name.decode()] = values
    return found
