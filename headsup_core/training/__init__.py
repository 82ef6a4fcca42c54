"""Training: one loop for whatever is trained, and what it is trained on and by."""
