"""`python -m nca_cli` is `nca`."""

from nca_cli.cli import app

app(prog_name="nca")
