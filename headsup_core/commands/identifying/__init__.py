"""Commands of faces and people."""
