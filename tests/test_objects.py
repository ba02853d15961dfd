"""Datasets and attributes by HDF5's own calls are those that h5py's objects make."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from h5py import h5a
from stores import full_store

from nca_cli.store import hdf5, objects
from nca_cli.store.hdf5 import LIBVER, Content, content_digest

VALUES = [
    np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    np.arange(6, dtype=np.float16).reshape(3, 2),
    np.array([100, 300], np.int64),
    np.array([0.5, 1.5]),
    np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
    np.zeros((0, 3, 2, 2), np.float32),
]


@pytest.fixture
def files():
    with h5py.File.in_memory(libver=LIBVER) as one, h5py.File.in_memory(libver=LIBVER) as other:
        yield one, other


def chunks_of(values):
    return (1, *values.shape[1:])


def write_dataset(group, values, chunks, limits):
    data = objects.make_dataset(group, "it", values.dtype, values.shape, chunks, limits)
    objects.write_values(data, values)


def facts(data):
    """All that a file says of a dataset."""
    plan = data.id.get_create_plist()
    filters = [plan.get_filter(i) for i in range(plan.get_nfilters())]
    return (data.dtype, data.shape, data.maxshape, data.chunks, filters, data.fillvalue,
            plan.get_obj_track_times(), plan.get_fill_time(), data.id.get_type())  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=lambda values: f"{values.dtype}{values.shape}")
def test_a_dataset_is_the_one_that_h5py_would_make(files, values):
    one, other = files
    limits = (None, *values.shape[1:])
    write_dataset(one, values, chunks_of(values), limits)
    other.create_dataset("it", data=values, chunks=chunks_of(values), maxshape=limits,
                         fletcher32=True)  # fmt: skip
    assert facts(one["it"]) == facts(other["it"])
    assert one["it"][()].tobytes() == values.tobytes()


def test_values_that_lie_scattered_in_memory_are_written_in_order(files):
    values = np.arange(24.0).reshape(4, 6).T[::2]
    write_dataset(files[0], values, values.shape, values.shape)
    assert (files[0]["it"][()] == values).all()


@pytest.mark.parametrize("text", ["", "ddim", "größer → x̂0", '{"t": [1, 2]}', "a" * 70_000])
def test_a_text_is_the_attribute_that_h5py_would_make(files, text):
    one, other = files
    objects.write_text(one.id, "it", text)
    other.attrs["it"] = text
    assert one.attrs["it"] == other.attrs["it"] == text
    assert h5a.open(one.id, b"it").get_type() == h5a.open(other.id, b"it").get_type()


@pytest.mark.parametrize("value", [1, 2**40, np.bytes_("IMAGE_TRUECOLOR")])
def test_a_value_is_the_attribute_that_h5py_would_make(files, value):
    one, other = files
    objects.write_value(one.id, "it", value)
    other.attrs["it"] = value
    assert one.attrs["it"] == other.attrs["it"] == value
    assert h5a.open(one.id, b"it").get_type() == h5a.open(other.id, b"it").get_type()


def test_axes_have_the_scales_that_h5py_would_attach(files):
    for file, own in zip(files, (True, False), strict=True):
        file["it"], file["sample"] = np.zeros((2, 3)), np.arange(2)
        if own:
            objects.make_scale(file["sample"].id, "sample")
            objects.label_axis(file["it"].id, 0, file["sample"].id)
        else:
            file["sample"].make_scale("sample")
            file["it"].dims[0].attach_scale(file["sample"])
        assert file["it"].dims[0].keys() == ["sample"]
        assert file["sample"].is_scale


def test_content_is_read_as_h5py_reads_it(tmp_path):
    for artifact in full_store(tmp_path).select():
        with artifact.parts[0].opened() as group:
            held = Content.of(group)
            assert held.datasets.keys() == set(group)
            for name, values in held.datasets.items():
                expected = group[name][()]
                assert values.dtype == expected.dtype
                assert values.shape == expected.shape
                assert values.tobytes() == expected.tobytes()
            assert held.check().digest == content_digest(group) == group.attrs["content_sha256"]


def test_attributes_are_read_as_h5py_reads_them(files):
    file = files[0]
    file.attrs.update({
        "text": "größer → x̂0", "empty": "", "number": 7, "numbers": np.arange(3), "bytes": b"it",
        "fixed": np.bytes_("IMAGE"), "texts": ["one", "two"], "none": h5py.Empty("f"),
        "no text": np.array(b"\xff", h5py.string_dtype()),
    })  # fmt: skip
    found = objects.read_attributes(file)
    assert list(found) == list(file.attrs)
    for name, value in file.attrs.items():
        assert type(found[name]) is type(value)
        np.testing.assert_array_equal(found[name], value)


def test_a_part_is_the_same_file_whether_one_of_its_shape_was_made_before_or_not(tmp_path):
    for artifact in full_store(tmp_path).select():
        part = artifact.parts[0].read()
        once_more = hdf5.file_image(part)
        hdf5._blank.cache_clear()
        assert hdf5.file_image(part) == once_more


def test_values_of_another_part_of_the_same_shape_leave_no_trace(tmp_path):
    (artifact,) = full_store(tmp_path).select()[:1]
    part = artifact.parts[0].read()
    other = replace(part, header={**part.header, "kind": "other"}, fixed={
        name: values + 1 for name, values in part.fixed.items()
    })  # fmt: skip
    before = hdf5.file_image(part)
    hdf5.file_image(other)
    assert hdf5.file_image(part) == before


def test_content_that_was_changed_is_refused(files):
    file = files[0]
    write_dataset(file, VALUES[0], chunks_of(VALUES[0]), VALUES[0].shape)
    file.attrs.update({"format": "nca-artifact", "version": 1, "content_sha256": "0"})
    file.attrs["content_sha256"] = content_digest(file)
    Content.of(file).check()
    file["it"][0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="digest differs"):
        Content.of(file).check()
