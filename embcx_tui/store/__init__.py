"""What is known: the study folder, its journal, arrays and snapshot. Knows nothing of compute."""
