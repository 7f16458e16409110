"""This project compared with its peers: the same work, in one run, in turns. `python benchmarks/peers.py --help`.

Every case does one piece of work twice, here and with a peer, checks that both did the same, and times them in
alternation, so that whatever else the machine does falls on both. Leave the machine idle all the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from measuring import Case, Result, as_csv, as_markdown, into_page, measure
from peer_cases import GROUPS, ROOT
from PIL import Image

from bench.files import to_json, write_atomically
from bench.progress import say
from bench.run.environment import environment

HERE = Path(__file__).resolve().parent
BUSY = 0.5  # processes that compute, before the first case


def cases(folder: Path | None, count: int, only: Sequence[str] = ("",)) -> Iterator[Case | Result]:
    """The cases whose names begin with one of ``only``, each made when it is its turn.

    A Result that says why stands for those whose peer is not installed. folder: of the images, of which the first
    ``count`` are taken.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # before torch is imported, and for every process started here
    with tempfile.TemporaryDirectory(prefix="rdbench-peers-") as scratch:
        images = Path(scratch, "images")
        images.mkdir()
        for path in images_in(folder)[:count]:
            with Image.open(path) as picture:
                picture.convert("RGB").save(images / f"{path.stem}.png")
        for group, (package, make) in GROUPS.items():
            if not any(group.startswith(name) or name.startswith(group) for name in only):
                continue
            if importlib.util.find_spec(package) is None:
                yield Result(group, "", package, "skipped", reason=f"{package} is not installed")
                continue
            for case in make(images):
                if (case.case if isinstance(case, Result) else case.name).startswith(tuple(only)):
                    yield case


def images_in(folder: Path | None) -> list[Path]:
    """The images of a folder; of none, Kodak next to the checkout, or the embedded ones."""
    kodak = ROOT.parent / "shared" / "datasets" / "kodak"
    if folder is None and not kodak.is_dir():
        from bench.data.datasets import fetch

        return [Path(image.path) for image in fetch("sample", quiet=True).images]
    return sorted(path for path in (folder or kodak).iterdir() if path.suffix.lower() in (".png", ".jpg", ".ppm"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the cases and writes peers.csv, peers.json and peers.md; the exit code: 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder; ../shared/datasets/kodak, else the embedded images")
    parser.add_argument("--count", type=int, default=6, help="how many of them (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each side (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="CASE", help="cases whose names begin so")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder of the results (%(default)s)")
    parser.add_argument("--page", type=Path, help="a page to put the table in, docs/peers.md")
    args = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    if before > BUSY:
        say(f"peers: the machine is busy (load {before:.1f}); the ratios may hold, the times will not")
    results = []
    for case in cases(args.images, args.count, args.only):
        result = case if isinstance(case, Result) else measure(case, args.rounds)
        ratio = f"{result.ratio:.2f}" if result.ratio else f"{result.status}: {result.reason}"
        say(f"{result.case}: {ratio}")
        results.append(result)
    machine = environment() | {"load_before": before, "load_after": os.getloadavg()[0], "torch_threads": 1}
    table = as_markdown(results, machine)
    write_atomically(args.out / "peers.csv", as_csv(results))
    write_atomically(args.out / "peers.json", to_json(machine))
    write_atomically(args.out / "peers.md", table)
    if args.page:
        into_page(args.page, table)
    print(table, end="")
    return int(any(result.status == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
