"""IDFSR (arXiv 2508.10937): faces at x8 and x16 by pixel-space diffusion, from a masked LR, a warped reference and an
identity's embedding."""
