"""What models take of the environment: the cache folder and the user's short names."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder of nca: `$NCA_CACHE`, else the system's."""
    if override := os.environ.get("NCA_CACHE"):
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("nca"))


def aliases_file() -> Path | None:
    """The file of short names: `$NCA_MODELS`, which has to be there, else `./models.toml`, if it
    is."""
    if named := os.environ.get("NCA_MODELS"):
        return Path(os.path.expanduser(named))
    file = Path("models.toml")
    return file if file.is_file() else None
