"""`gainkt prepare` by place: `python scripts/prepare_data.py <dataset> <source> <target> [--setting value ...]`.

    python scripts/prepare_data.py csv answers.csv data/mine --student uid --skill kc --item problem --missing drop

is `python -m gainkt.prepare dataset=csv dataset.path=answers.csv output=data/mine dataset.read.student=uid ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from gainkt.prepare import main as prepare


def overrides(settings: Sequence[str]) -> Iterator[str]:
    """Give `--setting value` and `--setting=value` as settings of the reader."""
    words = iter(settings)
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        yield f"dataset.read.{key.replace('-', '_')}={value if equals else next(words, '')}"


def main() -> None:
    """Run the command."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("dataset", help="an option of conf/dataset")
    command.add_argument("source", help="file or folder to read")
    command.add_argument("target", help="folder to write; must not exist")
    given, settings = command.parse_known_args()
    places = (f"dataset={given.dataset}", f"dataset.path={given.source}", f"output={given.target}")
    sys.argv[1:] = [*places, *overrides(settings)]
    prepare()


if __name__ == "__main__":
    main()
