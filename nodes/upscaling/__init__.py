"""The nodes that restore and plan."""
