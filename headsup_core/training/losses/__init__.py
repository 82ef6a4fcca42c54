"""What a training minimises, and the networks that its terms ask."""
