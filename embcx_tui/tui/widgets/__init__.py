"""Widgets that several screens share: painted lines, figures, choices, small windows."""
