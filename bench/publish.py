"""Reports worth keeping: results/<config>/report copied into reports/<config>, fit to be committed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.errors import UsageError

EMBEDDED = "sample"  # the one dataset whose pictures may be committed


def publish(name: str, results: Path = Path("results"), reports: Path = Path("reports")) -> Path:
    """Copies the report of the run ``name``; returns its index.html.

    Pictures of images are copied only where every dataset is the embedded one, and the bitstreams stay behind: their
    hashes are in the records.
    """
    source = results / name / "report"
    if not (source / "index.html").is_file():
        raise UsageError(f"no report in {source}; make one first: snakemake --cores --config datasets='[{name}]'")
    datasets = {path.stem for path in (results / name / "datasets").glob("*.json") if ".source" not in path.name}
    target = reports / name
    part = reports / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    hidden = () if datasets == {EMBEDDED} else ("images",)
    shutil.copytree(source, part, ignore=lambda folder, names: [n for n in names if n in hidden])
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)
    return target / "index.html"
