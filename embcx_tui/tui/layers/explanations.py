"""What each number of the layer browser means, in one sentence; docs/metrics.md and docs/statistics.md say more."""

from __future__ import annotations

import re

# By the name that a number has in the panel or above its column.
SENTENCES = {
    "KL": "the layer's complexity: exact KL divergence of its t-SNE, in nats; less is simpler",
    "explained": "share of the KL of one point for all that the t-SNE takes away; more is simpler",
    "train acc.": "share of the training set that the network classifies correctly",
    "test acc.": "share of the test set that the network classifies correctly",
    "95 % CI": "interval over runs: in 95 of 100 such studies it holds the true value",
    "untrained": "KL less that of the same network before training, run by run",
    "shuffled": "KL less that of the network trained on shuffled labels, run by run",
    "per layer": "mean change of KL from layer to layer; below 0 it falls with depth",
    "slope CI": "interval over runs of the change of KL per layer",
    "runs": "how many of the independent runs go the way that the mean goes",
    "falling": "in how many of the runs the KL falls with depth",
    "p, sign test": "chance that so many runs go one way if both ways were equally likely",
    "mean rank corr.": "1: KL falls at every layer of every run; 0: no order; −1: it rises",
    "first rise at": "the first layer at which the mean KL does not fall",
    "p, Page": "Page's test for a trend over the layers, all runs ranked together",
    "converged": "whether the t-SNE came to rest before its iterations ran out",
    "iterations": "steps of gradient descent until the t-SNE came to rest",
    "perplexity": "how many neighbours of each point, about, the t-SNE keeps near",
    "points": "samples that were embedded, as many of each class",
    "units": "the width of the layer: the dimensions that are embedded",
    "engine": "exact: the built-in one, all pairs; -packed: P in 16 bits; opentsne: the library's",
    "seed": "where the random numbers of this map begin",
    "starts": "initial maps that were tried, the best went on; how far apart they were",
    "restarts": "t-SNE runs of this layer, the best is kept; how far apart they ended",
    "gradient": "its norm at the end: near 0 where the t-SNE came to rest",
    "k-NN acc.": "share of points whose ten nearest others vote for the right class",
    "linear acc.": "accuracy of a linear classifier on this layer",
    "separation": "spread within classes over that between them; less is better separated",
    "GDV": "generalised discrimination value: −1 clusters, 0 labels mean nothing",
    "dimension": "intrinsic dimension: how many directions the data really use",
    "eff. rank": "how many directions hold the variance, 1 to the layer's width",
    "trustworthiness": "1: what is near in the map is near in the layer too",
    "continuity": "1: what is near in the layer is near in the map too",
    "n": "runs that enter the mean",
    "network": "its activation function, and the control where it is one",
    "input": "the KL of the data themselves, before any layer",
}
_PATTERNS = (
    (r"\d+(?:/\d+)? runs", "mean ± standard deviation of the layer's KL over runs"),
    (r"layer \d+", "KL less that of the layer before, run by run; below 0 it is simpler"),
    (r"\d+", "the KL of this layer: mean ± standard deviation over runs"),
)


def explanation(name: str) -> str:
    """Return the sentence for a number by its name; empty where it needs none."""
    name = name.strip().rstrip("…").strip()
    # A long value takes room from the end of its name.
    full = next((full for full in SENTENCES if full == name or (len(name) > 5 and full.startswith(name))), "")
    sentence = SENTENCES.get(full) or next((words for form, words in _PATTERNS if re.fullmatch(form, name)), "")
    return f"{full or name}: {sentence}" if sentence else ""
