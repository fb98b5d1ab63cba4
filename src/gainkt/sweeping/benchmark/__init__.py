"""Data sets x models x folds x seeds -> one table: what is held against each other, its jobs, and what came out."""
