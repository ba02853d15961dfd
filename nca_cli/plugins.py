"""Python modules of users, imported because a user names them, from this folder or elsewhere."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

FROM = "it is imported from this folder or the environment; see: nca --debug"
"""What to tell of a module that cannot be imported."""


def load(module: str) -> ModuleType:
    """The module of that name. Raises whatever it raises."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(module)


def why(error: Exception) -> str:
    """`ImportError: no such thing`, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
