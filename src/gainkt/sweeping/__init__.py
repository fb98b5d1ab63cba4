"""Sweeps: many jobs from one command, one after the other, side by side on a machine, or on a cluster.

`folder` says what lies on disk, `job` records a job from the inside, `sweeper` plans and finishes a sweep, `launchers`
run jobs on slots, `progress` shows how far they are, `command` reads the command line. Hydra finds the sweeper and the
launchers through `hydra_plugins.gainkt_sweeping`, so nothing here may import torch at the top.
"""
