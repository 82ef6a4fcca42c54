"""Nodes of known people."""
