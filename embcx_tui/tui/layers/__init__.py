"""The layer browser: complexity over layers, the points of a layer, and what a person sees of them."""
