"""Training an IDFSR network: its configuration, aligned photos, samples and loop."""
