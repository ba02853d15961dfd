"""Which store a command works on. The only place that reads `NCA_STORE` besides Typer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nca_cli.store import Store

DEFAULT_STORE = Path("nca-store")
SEE_ALL = "see all of it: nca ls"
"""What to do where the filters take nothing."""


def usual_store() -> Path:
    """The store that commands take when none is named."""
    return Path(os.environ.get("NCA_STORE") or DEFAULT_STORE)


def opened(path: Path) -> Store:
    """The store there; lines that are printed name it unless commands take it anyway."""
    from nca_cli.store import Store

    return Store(path, usual=usual_store())
