"""GPUs that nobody here has: stand-ins for drivers and cards in trouble, and what is said of them."""
