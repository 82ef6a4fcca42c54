"""Nodes that find faces and hand them on."""
