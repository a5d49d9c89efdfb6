"""What `embcx_tui` offers to Python: measuring any model, recording while it trains, and reading a study's numbers."""
