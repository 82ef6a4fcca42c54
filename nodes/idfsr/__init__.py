"""Nodes of IDFSR."""
