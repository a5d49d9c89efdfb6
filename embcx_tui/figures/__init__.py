"""What is drawn, as plain values, and two ways to draw it: in the terminal (plotext) and as an image (matplotlib)."""
