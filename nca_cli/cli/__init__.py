"""The command line: options, progress, messages, nothing else. Each command makes one call."""

from nca_cli.cli.app import app  # isort: skip

# Importing a module adds its commands, in the order in which `nca --help` lists them.
from nca_cli.cli import compute, imports, grid, plot, report  # isort: skip
from nca_cli.cli import listing, keeping, about  # isort: skip

__all__ = ["app"]
