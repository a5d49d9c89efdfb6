"""Small faults that a change could make, and the tests that must notice each: `python -m tests.faults`."""
