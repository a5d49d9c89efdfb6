"""Watching a study train."""
