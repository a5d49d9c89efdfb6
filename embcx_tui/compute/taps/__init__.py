"""Rows of the layers of any torch model: which layers it has, which inputs are taken, what hooks make of them."""
