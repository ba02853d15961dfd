"""How a report looks: templates, rendered once from its data."""
