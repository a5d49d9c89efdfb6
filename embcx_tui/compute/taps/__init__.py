"""Rows of the layers of any torch model: its layers, the inputs taken, the forward hooks that collect the rows."""
