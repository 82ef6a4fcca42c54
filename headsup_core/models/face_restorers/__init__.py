"""GFPGAN, CodeFormer, RestoreFormer and GPEN, as models of aligned faces."""
