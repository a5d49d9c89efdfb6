"""Exact t-SNE: affinities P, gradient descent, the KL divergence that is left; on a CPU and on a GPU."""
