"""Measuring restorers against each other: the same pictures, the same degradation, the same run."""
