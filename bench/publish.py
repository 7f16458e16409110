"""Reports worth keeping: the page of results/<config>, built anew into reports/<config>, fit to be committed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.errors import UsageError
from bench.report.build import build

# What is committed stays small: two embedded photographs at one rate.
GALLERY_IMAGES = ("astronaut", "coffee")
GALLERY_BPP = (0.25,)


def publish(name: str, results: Path = Path("results"), reports: Path = Path("reports")) -> Path:
    """The published report of the run ``name``; returns its index.html.

    Pictures of images other than the embedded ones, the bitstreams and the logs stay behind: their hashes are in the
    records. The plotting library's script is shared by all published reports. Raises UsageError where there is no run.
    """
    if not (results / name / "records.parquet").is_file():
        known = ", ".join(sorted(path.parent.name for path in results.glob("*/records.parquet"))) or "none yet"
        raise UsageError(
            f"no run called {name!r} in {results}; there are: {known}. Make one first: snakemake --cores all"
        )
    part = reports / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    build(results / name, out=part, published=True, gallery_bpp=GALLERY_BPP, gallery_images=GALLERY_IMAGES)
    shutil.rmtree(reports / name, ignore_errors=True)
    os.replace(part, reports / name)
    return reports / name / "index.html"
