"""What a folder of runs says together: one table of runs, and what is computed from it."""
