"""Files of installed packages, read in place without running any of their code."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def file_of(package: str, path: str) -> Path | None:
    """A file in the folder of a package; `None` where either of them is missing."""
    spec = importlib.util.find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    files = (Path(folder) / path for folder in folders)
    return next((file for file in files if file.is_file()), None)
