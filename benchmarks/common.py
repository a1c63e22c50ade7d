"""What benchmarks share: paired timings in CPU seconds, and the figures they write."""

import argparse
import json
import statistics
import time
from collections.abc import Callable

REPEATS = 9


def cpu_seconds(call: Callable) -> float:
    """Returns the CPU time of a call, of all threads of this process."""
    start = time.process_time()
    call()
    return time.process_time() - start


def paired(ours: Callable, peer: Callable, repeats: int = REPEATS) -> tuple[float, float]:
    """Returns the median CPU seconds of two calls made in turn, after one each that is not counted."""
    ours(), peer()
    times = [(cpu_seconds(ours), cpu_seconds(peer)) for _ in range(repeats)]
    return tuple(statistics.median(pair[side] for pair in times) for side in (0, 1))


def figure(name: str, unit: str, ours: float, peer: float, peer_name: str, repeats: int = REPEATS) -> dict:
    """Returns one figure; the ratio is ours over the peer's."""
    return {"name": name, "unit": unit, "ours": ours, "peer": peer, "peer_name": peer_name,
            "ratio": ours / peer if peer else None, "repeats": repeats}


def write(figures: list[dict], path: str | None) -> None:
    """Prints figures, and writes them as JSON where a path is given."""
    for row in figures:
        ratio = "" if row["ratio"] is None else f"ratio {row['ratio']:10.4g}"
        print(f"{row['name']:46} {row['ours']:14,.4g}  {row['peer_name']} {row['peer']:14,.4g}  {ratio}  "
              f"[{row['unit']}, {row['repeats']} repeats]")
    if path:
        with open(path, "w") as stream:
            json.dump(figures, stream, indent=1)


def arguments(description: str, **more: type) -> argparse.Namespace:
    """Parses the flags that every benchmark takes, and more by name and type."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--only", metavar="PART", help="only the parts whose name holds this")
    for name, kind in more.items():
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args()
