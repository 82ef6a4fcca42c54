"""The network of IDFSR: architecture records, blocks, UNet, and weights of DiffAE as a start."""
