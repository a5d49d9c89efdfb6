"""The window that saves a figure or the screen."""
