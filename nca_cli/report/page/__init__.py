"""How a report looks: templates, rendered from its data."""
