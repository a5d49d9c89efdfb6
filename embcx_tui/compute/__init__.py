"""The work: datasets, networks, training, neighbourhoods, embeddings, complexity. PyTorch and openTSNE live below here
only.
"""
