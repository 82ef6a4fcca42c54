"""The node that loads a model, and the files that it offers."""
