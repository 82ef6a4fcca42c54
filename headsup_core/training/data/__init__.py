"""Pictures and people to train on: readers, degradations, references, indexes of faces."""
