"""What headsup-tiny should reach, and whether it does."""
