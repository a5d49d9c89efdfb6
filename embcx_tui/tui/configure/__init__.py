"""The form over a study file, and what the study would cost."""
