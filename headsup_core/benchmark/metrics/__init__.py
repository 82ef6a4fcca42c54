"""Quality figures of a picture, each in a file of its own."""
