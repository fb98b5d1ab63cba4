"""Many runs from one command: grids (`--multirun`) and searches (`gainkt.search`).

`jobs` is what lies on disk and how a job is run, the same for both; `grids` plans and finishes a sweep, `search` asks
Optuna; `launchers` run jobs on slots; `progress` shows how far they are; `summary` says what came out. Hydra finds the
sweeper and the launchers through `hydra_plugins.gainkt_sweeping`, so `grids`, `jobs` and `launchers` import no torch at
the top; only `search` needs Optuna.
"""
