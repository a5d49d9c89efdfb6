"""Metrics of a layer and quality of an embedding, beside the complexity."""
