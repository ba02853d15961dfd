"""Figures for paper and page: `grid` of pictures, `curves` over levels, `type` set in both."""
