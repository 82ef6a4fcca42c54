"""Where the faces are, and who they are."""
