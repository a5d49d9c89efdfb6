"""The process boundary: `launch` starts and stops workers (no torch); the worker itself joins compute and store."""
