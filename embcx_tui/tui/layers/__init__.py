"""The layer browser: charts of complexity over layers, the points of a layer, and the numbers of both."""
