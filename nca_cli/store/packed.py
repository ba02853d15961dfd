"""The inside of a packed store: one HDF5 file with groups /model/image/part."""

from __future__ import annotations

import hashlib

import h5py

from nca_cli.store.opening import part_at

MODEL_DIGEST = "model_sha256"
"""Attribute of a model's group: of the text in its attribute `model`. HDF5 checks no texts."""


def tree(file: h5py.Group) -> dict[str, dict[str, list[str]]]:
    """Model → image → parts. Raises `ValueError` for links that lead elsewhere."""
    return {
        model: {image: list(part_at(file, f"{model}/{image}")) for image in part_at(file, model)}
        for model in part_at(file, "/")
    }


def write_model(file: h5py.File, model: str, text: str) -> None:
    """The group of a model, with the text of its `model.json`."""
    group = file.create_group(model)
    group.attrs["model"] = text
    group.attrs[MODEL_DIGEST] = hashlib.sha256(text.encode()).hexdigest()


def model_text(file: h5py.Group, model: str) -> str:
    """What was the text of `model.json`. Raises `ValueError` where it has changed since."""
    attributes = part_at(file, model).attrs
    text = str(attributes["model"])
    known = attributes.get(MODEL_DIGEST)  # older files have none
    if known is not None and known != hashlib.sha256(text.encode(errors="replace")).hexdigest():
        raise ValueError("its text is not what was written")
    return text
