"""The first screen: the list of studies and the details of one of them."""
