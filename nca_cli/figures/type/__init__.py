"""Type in figures: the fonts that can draw a name, and the order in which a script is read."""
