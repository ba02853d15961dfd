"""Where models come from: one class for each of the ways to name one."""
