"""The screens. Values come down (snapshots), messages go up; imports no numerics."""
