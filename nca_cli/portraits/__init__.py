"""Procedural portraits: small pictures whose every cause is a known, continuous factor."""

from nca_cli.portraits.factors import HELD_OUT_SEEDS, TRAIN_SEEDS, Factors, draw_factors
from nca_cli.portraits.many import main, portrait, write_portraits
from nca_cli.portraits.painter import render

__all__ = [
    "HELD_OUT_SEEDS",
    "TRAIN_SEEDS",
    "Factors",
    "draw_factors",
    "main",
    "portrait",
    "render",
    "write_portraits",
]
