"""What is in an HDF5 file, as a listing for the format page.

python tests/listing.py FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py


def listing(path: Path) -> str:
    """Every attribute and dataset: dtype, shape, maximum shape, chunks, filters, axes."""
    with h5py.File(path) as file:
        lines = [f"attribute {name}: {_value(value)}" for name, value in sorted(file.attrs.items())]
        for name, data in file.items():
            lines += ["", *_dataset(name, data)]
    return "\n".join(lines)


def _dataset(name: str, data: h5py.Dataset) -> list[str]:
    limits = ["∞" if size is None else str(size) for size in data.maxshape]
    lines = [
        f"dataset {name}: {data.dtype.str} {data.shape} of at most ({', '.join(limits)})",
        f"    chunks {data.chunks}" + (", fletcher32" if data.fletcher32 else ""),
    ]
    if data.is_scale:
        return [*lines, "    a dimension scale"]
    axes = [" ".join(scale.name.lstrip("/") for scale in axis.values()) for axis in data.dims]
    own = {key: value for key, value in data.attrs.items() if key != "DIMENSION_LIST"}
    return [
        *lines,
        f"    axes {', '.join(axes)}",
        *(f"    attribute {key}: {_value(value)}" for key, value in sorted(own.items())),
    ]


def _value(value: object) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


if __name__ == "__main__":
    print(listing(Path(sys.argv[1])))
