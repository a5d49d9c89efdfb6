"""embcx-tui: embedding complexity of neural network layers, measured and browsed in the terminal."""

__version__ = "0.1.0"
