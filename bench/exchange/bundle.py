"""A run in one file: its records, the bitstreams behind them, their hashes, and the environment it ran in.

manifest.json       format, version, and of every other member its size and sha256; images and codecs with their hashes
records.parquet     the rows of the run, or of the codecs and datasets chosen
records.csv         the same for people
environment.json    of the run
bitstreams/SHA256   each bitstream once, named by its own hash
images/SHA256       with --images: the files of the originals, named by the hash of their pixels

The same run gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from bench import __version__, records
from bench.data.images import load_verified
from bench.data.manifest import read_manifest
from bench.errors import UsageError, explain_errors
from bench.exchange.zipped import unpack, write_zip
from bench.files import printable, sha256, sha256_file, to_json

FORMAT, VERSION = "rdbench bundle", 1
ALLOWED = r"(manifest|environment)\.json|records\.(parquet|csv)|(bitstreams|images)/[0-9a-f]{64}"
TABLE = "records.parquet"
MOST_BYTES = 4 * 2**30  # of the records, unpacked
CODEC = ["codec", "codec_version", "code_sha256", "weights_sha256"]
NEEDED = ["dataset", "codec", "image", "point", "point_index", "width", "height", "bytes", "bpp"]
IMAGE = ["dataset", "image", "image_sha256", "width", "height"]


@dataclass(frozen=True)
class Bundle:
    """A bundle, unpacked. frame: its records; bitstreams and images: sha256 -> file; damaged: sha256 -> what is wrong.

    notes: what does not fit together, none of which stops the rows from being checked.
    """

    manifest: dict[str, Any]
    frame: pd.DataFrame
    bitstreams: dict[str, Path]
    images: dict[str, Path]
    damaged: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write_bundle(folder: Path, path: Path, frame: pd.DataFrame, images: bool = False) -> dict[str, int]:
    """Writes ``path`` from the run in ``folder``; returns how many rows, bitstreams and images it has, and its bytes.

    frame: the rows of the run's records to take. Raises UsageError for a run without environment.json, for bitstreams
    that are missing or not those that were measured, and for missing images.
    """
    environment = folder / "environment.json"
    if not environment.is_file():
        raise UsageError(f"bundling {folder}: it has no environment.json; `rdbench collect` writes it")
    measured = records.measured(frame)
    if measured.empty:
        raise UsageError(f"bundling {folder}: none of the rows chosen has a measurement")
    table = records.to_parquet(frame)
    reread = pq.read_table(io.BytesIO(table)).to_pandas()  # the rows left out may have made floats of whole numbers
    members: dict[str, bytes | Path] = {
        "environment.json": environment.read_bytes(),
        "records.csv": records.to_csv(reread).encode(),
        TABLE: table,
        **_bitstreams(folder, measured),
        **(_images(folder, measured) if images else {}),
    }
    manifest = _manifest(folder, measured, members)
    write_zip(path, [("manifest.json", to_json(manifest).encode()), *members.items()])
    counts = {kind: sum(name.startswith(f"{kind}/") for name in members) for kind in ("bitstreams", "images")}
    return {"rows": len(frame), **counts, "bytes": path.stat().st_size}


def _bitstreams(folder: Path, measured: pd.DataFrame) -> dict[str, Path]:
    found, wrong = {}, []
    for row in measured.drop_duplicates("bitstream_sha256").sort_values("bitstream_sha256").itertuples():
        path = folder / str(row.bitstream)
        if not path.is_file():
            wrong.append(f"{path} is missing")
        elif sha256_file(path) != row.bitstream_sha256:
            wrong.append(f"{path} is not the file that was measured")
        found[f"bitstreams/{row.bitstream_sha256}"] = path
    if wrong:
        raise UsageError(
            f"bundling {folder}: {len(wrong)} of {len(found)} bitstreams do not fit the records ({wrong[0]}); run the "
            "same command again to make them"
        )
    return found


def _images(folder: Path, measured: pd.DataFrame) -> dict[str, Path]:
    found = {}
    for name in sorted(set(measured.dataset)):
        for image in read_manifest(folder / "datasets" / f"{name}.json").images:
            if image.sha256 in set(measured.image_sha256):
                load_verified(image.path, image.sha256)
                found[f"images/{image.sha256}"] = Path(image.path)
    if missing := set(measured.image_sha256) - {name.removeprefix("images/") for name in found}:
        raise UsageError(f"bundling {folder}: {len(missing)} images are not in its datasets; leave --images out")
    return dict(sorted(found.items()))


def _manifest(folder: Path, measured: pd.DataFrame, members: dict[str, bytes | Path]) -> dict[str, Any]:
    def facts(content: bytes | Path) -> dict[str, Any]:
        if isinstance(content, bytes):
            return {"bytes": len(content), "sha256": sha256(content)}
        return {"bytes": content.stat().st_size, "sha256": sha256_file(content)}

    def listed(columns: list[str]) -> list[dict[str, Any]]:
        rows = measured[columns].drop_duplicates().sort_values(columns)
        return rows.astype(object).where(rows.notna(), None).to_dict("records")

    return {
        "format": FORMAT,
        "version": VERSION,
        "rdbench": __version__,
        "run": printable(folder.resolve().name),
        "files": {name: facts(content) for name, content in members.items()},
        "images": listed(IMAGE),
        "codecs": listed(CODEC),
    }


def open_bundle(path: Path, into: Path) -> Bundle:
    """The bundle ``path``, unpacked below the empty folder ``into``.

    Raises UsageError, in one sentence, for whatever is no bundle, and where manifest and tables do not fit together; a
    damaged bitstream or image is only listed.
    """
    shown = printable(str(path))
    damaged = unpack(path, into, ALLOWED)
    for name in ("manifest.json", TABLE):
        if name in damaged:
            raise UsageError(f"reading {shown}: its {name} is damaged ({damaged[name]}); get the bundle again")
        if not (into / name).is_file():
            raise UsageError(
                f"reading {shown}: it has no {name}, so it is not a bundle written by `rdbench export bundle`"
            )
    with explain_errors(f"reading {shown}: its manifest.json"):
        manifest = json.loads((into / "manifest.json").read_bytes())
        files = {str(name): str(facts["sha256"]) for name, facts in manifest["files"].items()}
        kind = (manifest["format"], manifest["version"])
    if kind != (FORMAT, VERSION):
        raise UsageError(f"reading {shown}: expected {FORMAT} version {VERSION}, got {kind[0]!r} version {kind[1]!r}")
    if (got := sha256_file(into / TABLE)) != files.get(TABLE):
        raise UsageError(
            f"reading {shown}: its {TABLE} has sha256 {got[:12]}, its manifest says "
            f"{files.get(TABLE, 'nothing')[:12]}; get the bundle again"
        )
    frame = _table(into / TABLE, shown)
    wrong, notes = dict(damaged), []
    for name in sorted({*files, *_names(into)} - {TABLE, "manifest.json"} - set(damaged)):
        there, expected = into / name, files.get(name)
        if expected is None:
            notes.append(f"{name} is not in the manifest")
        elif not _is_member(name) or not there.is_file():
            notes.append(f"{printable(name)[:80]} is in the manifest, but not in the bundle")
        elif sha256_file(there) != expected:
            wrong[name] = f"its sha256 is not {expected[:12]}, as the manifest says"
    notes += [f"{name}: {why}" for name, why in wrong.items() if "/" not in name]
    if "records.csv" not in wrong and (into / "records.csv").is_file():
        same = (into / "records.csv").read_bytes() == records.to_csv(frame).encode()
        notes += [] if same else ["records.csv does not say what records.parquet says"]
    found = {kind: {it.name: it for it in (into / kind).glob("*")} for kind in ("bitstreams", "images")}
    bad = {name.partition("/")[2]: why for name, why in wrong.items() if "/" in name}
    return Bundle(manifest, frame, found["bitstreams"], found["images"], bad, tuple(notes))


def _is_member(name: str) -> bool:
    return re.fullmatch(ALLOWED, name) is not None


def _names(folder: Path) -> Iterator[str]:
    yield from (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _table(path: Path, shown: str) -> pd.DataFrame:
    with explain_errors(f"reading {shown}: its {TABLE}"):
        about = pq.read_metadata(path)
        unpacked = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        if unpacked > MOST_BYTES:
            raise UsageError(f"reading {shown}: its {TABLE} unpacks to {unpacked:,} bytes, over {MOST_BYTES:,}")
        frame = records.read(path)
    measured = records.measured(frame)
    right = measured[NEEDED].notna().all(axis=1) & (measured[["width", "height", "bytes"]] > 0).all(axis=1)
    for name in ("image_sha256", "bitstream_sha256", "reconstruction_sha256"):
        right &= measured[name].astype(str).str.fullmatch("[0-9a-f]{64}")
    if not right.all():
        row = measured[~right].iloc[0]
        where = printable(f"{row.codec}, {row.image}, {row.point}")[:200]
        raise UsageError(f"reading {shown}: {TABLE} has a row without all its hashes, sizes and names ({where})")
    return frame
