"""Millions of pictures: inputs and outputs anywhere, workers here or on Ray, nothing done twice, nothing lost."""
