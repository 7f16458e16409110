"""Image sets: fetched, verified, listed. ``datasets.yaml`` says what there is; a Manifest says what was found.

A set that cannot be had does not stop a run: :func:`manifest_or_reason` turns it into a skipped manifest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from bench.data.acquire import acquire
from bench.data.images import RULES_VERSION, SUFFIXES, load_image
from bench.data.manifest import ImageFile, Manifest, read_manifest, write_manifest
from bench.data.store import Store, data_folder, folder_store, locked_store, stamp
from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import printable, root_file

__all__ = [
    "ImageFile",
    "Manifest",
    "fetch",
    "load_image",
    "manifest_or_reason",
    "read_manifest",
    "source_of",
    "specification",
    "write_manifest",
]

SPECIFICATION = root_file("datasets.yaml")
FOLDER = "folder:"
FIELDS = frozenset(
    ("title", "split", "licence", "citation", "notes")  # for people
    + (
        "files",
        "urls",
        "archive",
        "mirror",
        "max_mb",
        "package",
        "distribution",
        "folder",
        "ignore_profile",
        "of",
        "crop",
    )
)


def fetch(name: str, spec_file: str | Path = SPECIFICATION, *, quiet: bool = False, wait_s: float = 0.5) -> Manifest:
    """The images of a set in ``spec_file``, or of ``folder:PATH``, all here and verified; downloads what is missing.

    quiet: no progress bars; wait_s: before a second attempt. Raises UsageError for an unknown set or a wrong entry,
    UnavailableError for a set that cannot be had, RdbenchError for one whose files are not what they should be.
    """
    if name.startswith(FOLDER):
        return _own_folder(name)
    entry = _entry(name, spec_file)
    if "of" in entry:
        base = fetch(entry["of"], spec_file, quiet=quiet, wait_s=wait_s)
        with locked_store(data_folder(name)) as store:
            return _variant(name, entry, base, store)
    with locked_store(data_folder(name)) as store:
        if "package" in entry:
            paths, source = _in_package(name, entry, store)
        else:
            paths = acquire(name, entry, store, quiet=quiet, wait_s=wait_s)
            source = _origin(entry)
        named = [(path, path.stem) for path in paths]
        return _listed(Manifest(name, licence=entry.get("licence", ""), source=source), named, entry, store)


def manifest_or_reason(name: str, spec_file: str | Path = SPECIFICATION, *, rename: str | None = None) -> Manifest:
    """As :func:`fetch`, but a set that cannot be had, or is not what it should be, is a skipped manifest that says why.

    rename: the name it goes by in the run. Raises UsageError only for a name that does not exist.
    """
    source_of(name, spec_file)
    try:
        manifest = fetch(name, spec_file)
    except RdbenchError as error:
        manifest = Manifest(name, status="skipped", reason=str(error))
    return replace(manifest, name=rename or name)


def source_of(name: str, spec_file: str | Path = SPECIFICATION) -> dict[str, Any]:
    """What decides a set's content, as JSON: its entry, or the listing of a folder. A change asks for a new fetch."""
    if name.startswith(FOLDER):
        folder = _folder(name)
        found = _images_in(folder)
        listing = [[path.name, *stamp(path).values()] for path in found]
        listing += [[path.name, "cannot be read"] for path in found if not os.access(path, os.R_OK)]
        return {"folder": str(folder), "files": listing, "rules": RULES_VERSION}
    entry = _entry(name, spec_file)
    base = {"base": source_of(entry["of"], spec_file)} if "of" in entry else {}
    return {"name": name, "entry": entry, "rules": RULES_VERSION, **base}


def specification(spec_file: str | Path = SPECIFICATION) -> dict[str, dict[str, Any]]:
    """datasets.yaml: set name -> entry; its head explains the fields. Raises UsageError for unknown ones."""
    try:
        with open(spec_file, encoding="utf-8") as file:
            entries = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # C: ten times as fast
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"reading {spec_file}: {error}") from error
    for name, entry in entries.items():
        unknown = set(entry) - FIELDS if isinstance(entry, Mapping) else {str(entry)}
        if unknown:
            raise UsageError(
                f"{spec_file}: set {name!r} has unknown fields {sorted(unknown)}; there are {sorted(FIELDS)}"
            )
    return entries


def _entry(name: str, spec_file: str | Path) -> dict[str, Any]:
    entries = specification(spec_file)
    if name not in entries:
        raise UsageError(
            f"no dataset is called {name!r}; there are {', '.join(entries)}, and {FOLDER}PATH for your own"
        )
    return entries[name]


def _listed(manifest: Manifest, paths: Iterable[tuple[Path, str]], entry: Mapping[str, Any], store: Store) -> Manifest:
    """``manifest`` with the images of those (path, name); those that cannot be taken are listed as refused."""
    for path, name in paths:
        plain = path.name in entry.get("ignore_profile", ())
        facts = store.facts(path, ignore_profile=plain)
        if plain and "refused" not in facts:
            path = store.prepare(path, facts, name, None)
            facts = store.facts(path)
        if "refused" in facts:
            manifest.refused.append({"name": name, "reason": printable(facts["refused"])})
        else:
            manifest.images.append(_image(path, facts, name))
    return _not_empty(manifest)


def _not_empty(manifest: Manifest) -> Manifest:
    if not manifest.images:
        first = manifest.refused[0]["reason"] if manifest.refused else "it holds none"
        raise UsageError(f"dataset {manifest.name} has no image that can be used: {first}")
    return manifest


def _image(path: Path, facts: Mapping[str, Any], name: str = "") -> ImageFile:
    known = {key: facts[key] for key in ("width", "height", "sha256", "file_sha256")}
    return ImageFile(name or path.stem, str(path), **known)


def _variant(name: str, entry: Mapping[str, Any], base: Manifest, store: Store) -> Manifest:
    """The images of another set, some of them cut."""
    crops = {Path(image).stem: crop for image, crop in entry.get("crop", {}).items()}
    missing = sorted(set(crops) - {image.name for image in base.images})
    if missing:
        raise RdbenchError(f"dataset {name} cuts {missing}, which {base.name} does not hold; see datasets.yaml")
    images = []
    for image in base.images:
        if image.name in crops:
            crop = crops[image.name]
            path = store.prepare(Path(image.path), asdict(image), crop["to"], crop["box"])
            images.append(_image(path, store.facts(path)))
        else:
            images.append(image)
    source = f"{base.source}; cut: {', '.join(sorted(crops)) or 'none'}"
    return replace(base, name=name, source=source, images=images)


def _in_package(name: str, entry: Mapping[str, Any], store: Store) -> tuple[list[Path], str]:
    """The files inside an installed package, which is found but not imported, and its version."""
    package = entry["package"]
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise UnavailableError(f"dataset {name} lies inside the package {package}, which is not installed")
    paths = [Path(spec.origin).parent / entry.get("folder", "") / file for file in entry["files"]]
    for path in paths:
        if not path.is_file():
            raise UnavailableError(f"dataset {name}: the installed {package} has no {path.name} ({path.parent})")
        got = store.check(path, entry["files"][path.name])
        if got:
            raise RdbenchError(
                f"dataset {name}: {path} is not the file this set was defined with: expected "
                f"{entry['files'][path.name]}, got {got}; reinstall {package} in the version requirements.lock names"
            )
    return paths, f"inside {entry['distribution']} {version(entry['distribution'])}"


def _origin(entry: Mapping[str, Any]) -> str:
    if "urls" in entry:
        return entry["urls"][0]
    return entry["archive"]["sources"][0]["url"] if "archive" in entry else "a mirror"


def _own_folder(name: str) -> Manifest:
    folder = _folder(name)
    paths = _images_in(folder)
    readable, refused = [], []
    for path, image in zip(paths, _distinct_names(paths), strict=True):
        if reason := _no_file(path):
            refused.append({"name": image, "reason": printable(reason)})
        else:
            readable.append((path, image))
    manifest = Manifest(name, licence="the user's own", source=printable(str(folder)), refused=refused)
    with locked_store(folder_store(folder)) as store:
        return _listed(manifest, readable, {}, store)


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file, under which its results are filed: without extension, or with it where two would be one."""
    stems = Counter(path.stem for path in paths)
    names: list[str] = []
    for path in paths:
        wanted = name = printable(path.stem if stems[path.stem] == 1 else path.name)
        number = 1
        while name in names or (name != path.stem and stems[name]):
            number += 1
            name = f"{wanted}-{number}"
        names.append(name)
    return names


def _no_file(path: Path) -> str:
    """Why what looks like an image is no file to read; empty if it is one."""
    if path.is_file():
        return ""
    if path.is_dir():
        return f"{path} is a sub-folder with images, which is not looked into; name it as a dataset: {FOLDER}{path}"
    return f"{path} is a link to nothing" if path.is_symlink() else f"{path} is no file"


def _folder(name: str) -> Path:
    folder = Path(name.removeprefix(FOLDER)).expanduser().resolve()
    if not folder.is_dir():
        raise UsageError(f"{name}: {folder} is no folder")
    return folder


def _images_in(folder: Path) -> list[Path]:
    """What looks like an image directly in ``folder``, in name order: by its extension, a sub-folder by what it holds.

    Other files and hidden ones are left alone.
    """
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted((path for path in found if _looks_like_images(path)), key=lambda path: path.name)


def _looks_like_images(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES
    try:
        return any(inner.suffix.lower() in SUFFIXES for inner in path.iterdir())
    except OSError:
        return False
