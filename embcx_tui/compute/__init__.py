"""The work: datasets, networks, training, affinities, embeddings, complexity. PyTorch and openTSNE live below here
only.
"""
