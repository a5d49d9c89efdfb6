"""The numbers of a layer and of an embedding beside the complexity."""
