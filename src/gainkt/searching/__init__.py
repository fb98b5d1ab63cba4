"""Search for settings: the space, the study that several processes share, and what comes out."""
