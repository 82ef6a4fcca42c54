"""Commands of training and of its data."""
