"""RAM and DAPE: what is seen in a picture, as words for models that want tags."""
