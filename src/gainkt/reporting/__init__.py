"""Tables and pictures of what a run left on disk."""
