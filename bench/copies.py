"""A store of ten thousand images from one of a thousand, in a minute instead of twenty.

What reading, listing and reporting cost depends on how many folders, files, index lines and numbers
there are, and not on what the pictures show. So each copy is a picture of the same pixels and
another digest, whose artifacts and kept values are further links to the same files.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from nca_cli.images import image_digest
from nca_cli.recipe import canonical_json
from nca_cli.store import Artifact, Location, Store
from nca_cli.store.index import stamp_of
from nca_cli.store.layout import image_folder

SIDE = 32


def multiplied(pictures: Path, root: Path, count: int) -> None:
    """Pictures and stored images of the one model of a store, until there are `count`."""
    store = Store(root)
    (model,) = store.models()
    held = [store.artifacts(model, image) for image in store.images(model)]
    for number in range(len(held), count):
        artifacts = held[number % len(held)]
        original = pictures / artifacts[0].image_info["file"]
        picture = pictures / f"picture-{number:05d}.png"
        picture.write_bytes(original.read_bytes() + str(number).encode())  # after the end of a PNG
        digest = image_digest(str(picture), SIDE)
        folder = root / model / image_folder(picture.stem, digest)
        folder.mkdir()
        for file in (root / model / artifacts[0].image).iterdir():
            os.link(file, folder / file.name)
        for artifact in artifacts:
            _vouch(store, artifact, folder, {"digest": digest, "file": picture.name,
                                             "name": picture.stem})  # fmt: skip


def _vouch(store: Store, artifact: Artifact, folder: Path, identity: dict[str, str]) -> None:
    """Have the index know the copies of an artifact's parts, as their writer would."""
    image = canonical_json({**artifact.image_info, **identity})
    for part, head in zip(artifact.parts, artifact.heads, strict=True):
        copy = Location(folder / part.path.name)
        told = replace(head, header={**head.header, "image": image})
        store.backend.guard.vouch(copy, stamp_of(copy.path), told)
