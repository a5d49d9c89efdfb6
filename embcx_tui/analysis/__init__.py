"""Summaries, statistics and documents over a snapshot, with numpy; scipy is imported inside functions."""
