"""Search: a space of settings, a study that processes share, and its trials."""
