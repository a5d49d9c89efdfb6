"""Speed on this machine, in the numerics process: the engines beside openTSNE and a plain PyTorch loop, in one run."""
