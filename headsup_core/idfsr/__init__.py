"""IDFSR (arXiv 2508.10937): faces at x8 and x16 by pixel-space diffusion, from a masked LR, a warped reference and an
identity's embedding.

`network/` is the network alone, `idfsr_model` asks it for noise or faces, `restore_faces` lays them into pictures,
`identity_fitting/` fits an embedding to a person's photos, `pretraining/` trains the network, `idfsr_benchmark`
measures it.
"""
