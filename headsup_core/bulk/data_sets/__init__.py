"""From folders of photos to an index of faces and people to train on: PortraitSR-4K's pipeline (HeadsUp, 4.1)."""
