"""The command line: options, progress, messages, nothing else. Each command makes one call."""

from nca_cli.cli import compute
from nca_cli.cli.app import app

__all__ = ["app", "compute"]
