"""Figures as plain values, and two ways to draw them: in terminal cells (plotext) and as images (matplotlib)."""
