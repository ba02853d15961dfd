"""Networks that diffusers has no class for, written here; each takes x and what it hears of t."""
