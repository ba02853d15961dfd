"""How a report looks: templates, rendered once from its data."""

from nca_cli.report.page.render import render

__all__ = ["render"]
