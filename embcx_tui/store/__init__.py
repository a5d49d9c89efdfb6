"""The study folder: its journal, arrays, lock and snapshot. Does not know compute."""
