"""From a raw file to batches: readers, InteractionLog, splits, windows, simulated students."""
