"""Gold runs of ScienceWorld, made once with the package itself and kept in a file.

    python -m tests.bench.gold FILE [VARIATIONS]

Making them takes some minutes of Java; whoever has the file need not make them again.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from gmem.demo.world import World

__all__ = ["make"]

LONGEST = 400
"""Actions of a gold run, at most: some of the environment's own walk on and on."""


def make(file: Path, variations: int = 5) -> None:
    """Write the gold runs of so many variations of each task type and split, one JSON a line.

    Args:
        file: A new file, ending in `.jsonl.gz`.
        variations: How many of each type and split, at most; the first ones of the environment's order.
    """
    draft = file.with_name(f"{file.name}.new")
    with World() as world, gzip.open(draft, "wt", encoding="utf-8") as out:
        plan = {name: world.splits(name) for name in world.task_types()}
        for split in ("train", "test", "dev"):
            for name, splits in plan.items():
                for variation in getattr(splits, split)[:variations]:
                    actions = world.gold_path(name, variation)[:LONGEST]
                    row = {
                        "id": f"{name}-{variation}", "task": world.task, "group": name, "split": split,
                        "outcome": "success", "steps": [{"action": a, "observation": ""} for a in actions],
                    }  # fmt: skip
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    out.flush()
    draft.replace(file)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
