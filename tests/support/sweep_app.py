"""A command like gainkt.train whose runs do next to nothing, so that sweeps are tested in seconds.

What a run does follows from its name: `fail` raises, `die` ends its process, `wait` lasts until the file `go` appears
in the sweep's folder, `four` lasts until four jobs run; all others end at once.
"""

import os
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.files import write_json
from gainkt.sweeping.command import resumed_arguments
from gainkt.sweeping.jobs import SweepFolder, sweep_job

os.environ["GAINKT_CONF"] = conf_dir()


@hydra.main(config_path=str(Path(__file__).parent), config_name="sweep_app", version_base="1.3")
@one_line_errors
@sweep_job
def run(cfg: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (folder.parent / "calls.txt").open("a") as calls:
        calls.write(f"{folder.name}\n")
    print("job", folder.name)
    until = time.monotonic() + 60
    while time.monotonic() < until and (
        (cfg.name == "wait" and not (folder.parent / "go").exists())
        or (cfg.name == "four" and sum(job.state != "waiting" for job in SweepFolder(folder.parent).jobs) < 4)
    ):
        time.sleep(0.05)
    if cfg.name == "die":
        os._exit(3)
    if cfg.name == "fail":
        raise RuntimeError("no luck\nat all")
    figures = {"phases": {"train": {"figures": {"val": {"combined_score": 1.0 + cfg.seed}}}}, "selected": "train"}
    write_json(folder / "results.json", figures)


def main() -> None:
    run_main(run, resumed_arguments)


register_resolvers()

if __name__ == "__main__":
    main()
