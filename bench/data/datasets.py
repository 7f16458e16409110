"""Image sets: fetches, verifies and lists the sets that ``datasets.yaml`` defines.

A set that is unavailable does not stop a run: :func:`manifest_or_reason` makes a skipped manifest of it.
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
from bench.data.picture_file import as_file
from bench.data.store import Store, data_folder, folder_store, locked_store, stamp
from bench.errors import RdbenchError, UnavailableError, UsageError
from bench.files import printable, root_file, sha256_pixels, write_atomically
from bench.names import did_you_mean

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
FOR_PEOPLE = {"title", "split", "licence", "citation", "notes"}
FIELDS = FOR_PEOPLE | {
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
    "made",
}


def fetch(name: str, spec_file: str | Path = SPECIFICATION, *, quiet: bool = False, wait_s: float = 0.5) -> Manifest:
    """The images of a set in ``spec_file``, or of ``folder:PATH``, verified; missing files are downloaded.

    quiet: no progress bars; wait_s: before a second attempt. Raises UsageError for an unknown set or an invalid entry,
    UnavailableError for a set that is unavailable, RdbenchError for one with wrong files.
    """
    if name.startswith(FOLDER):
        return _user_folder(name)
    entry = _entry(name, spec_file)
    if "of" in entry:
        base = fetch(entry["of"], spec_file, quiet=quiet, wait_s=wait_s)
        with locked_store(data_folder(name)) as store:
            return _variant(name, entry, base, store)
    with locked_store(data_folder(name)) as store:
        if "package" in entry:
            paths, source = _in_package(name, entry, store)
        elif "made" in entry:
            paths, source = _made(name, entry, store), "made by bench.data.synthetic"
        else:
            paths = acquire(name, entry, store, quiet=quiet, wait_s=wait_s)
            source = _origin(entry)
        named = [(path, path.stem) for path in paths]
        return _with_images(Manifest(name, licence=entry.get("licence", ""), source=source), named, entry, store)


def manifest_or_reason(name: str, spec_file: str | Path = SPECIFICATION, *, rename: str | None = None) -> Manifest:
    """As :func:`fetch`, but a set that is unavailable or wrong gives a skipped manifest with the reason.

    rename: its name in the run. Raises UsageError only for a set that does not exist.
    """
    source_of(name, spec_file)
    try:
        manifest = fetch(name, spec_file)
    except RdbenchError as error:
        manifest = Manifest(name, status="skipped", reason=str(error))
    return replace(manifest, name=rename or name)


def source_of(name: str, spec_file: str | Path = SPECIFICATION) -> dict[str, Any]:
    """What determines a set's content, for JSON: its entry, or a folder's listing. A change needs a new fetch."""
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
    """The entries of datasets.yaml by set name; its header explains the fields. Raises UsageError for unknown ones."""
    try:
        with open(spec_file, encoding="utf-8") as file:
            entries = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # in C, ten times as fast
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"reading {spec_file}: {error}") from error
    for name, entry in entries.items():
        unknown = set(entry) - FIELDS if isinstance(entry, Mapping) else {str(entry)}
        if unknown:
            raise UsageError(
                f"{spec_file}: set {name!r} has unknown fields {sorted(unknown)}; expected {', '.join(sorted(FIELDS))}"
            )
    return entries


def _entry(name: str, spec_file: str | Path) -> dict[str, Any]:
    entries = specification(spec_file)
    if name not in entries:
        near = did_you_mean(name, entries)
        names = ", ".join(entries)
        raise UsageError(f"no dataset is called {name!r}{near}; expected {names}, or {FOLDER}PATH for your own")
    return entries[name]


def _with_images(
    manifest: Manifest, paths: Iterable[tuple[Path, str]], entry: Mapping[str, Any], store: Store
) -> Manifest:
    """``manifest`` with the images of these (path, name) pairs; unusable ones are listed as refused."""
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
    return _check_not_empty(manifest)


def _check_not_empty(manifest: Manifest) -> Manifest:
    if not manifest.images:
        first = manifest.refused[0]["reason"] if manifest.refused else "it contains no image"
        raise UsageError(f"dataset {manifest.name} has no usable image: {first}")
    return manifest


def _image(path: Path, facts: Mapping[str, Any], name: str = "") -> ImageFile:
    known = {key: facts[key] for key in ("width", "height", "sha256", "file_sha256")}
    return ImageFile(name or path.stem, str(path), **known)


def _variant(name: str, entry: Mapping[str, Any], base: Manifest, store: Store) -> Manifest:
    """The images of another set, some of them cropped."""
    crops = {Path(image).stem: crop for image, crop in entry.get("crop", {}).items()}
    missing = sorted(set(crops) - {image.name for image in base.images})
    if missing:
        raise RdbenchError(
            f"dataset {name} crops {missing}, which {base.name} does not contain; correct it in datasets.yaml"
        )
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
    """The files inside an installed package, which is not imported, and its version."""
    package = entry["package"]
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise UnavailableError(f"dataset {name} is part of the package {package}, which is not installed")
    paths = [Path(spec.origin).parent / entry.get("folder", "") / file for file in entry["files"]]
    for path in paths:
        if not path.is_file():
            raise UnavailableError(f"dataset {name}: the installed {package} has no {path.name} ({path.parent})")
        got = store.check(path, entry["files"][path.name])
        if got:
            raise RdbenchError(
                f"dataset {name}: {path} is not the file this set was defined with: expected "
                f"{entry['files'][path.name]}, got {got}; reinstall the version of {package} in requirements.lock"
            )
    return paths, f"inside {entry['distribution']} {version(entry['distribution'])}"


def _made(name: str, entry: Mapping[str, Any], store: Store) -> list[Path]:
    """Files with the images that code makes, verified by the hash of their samples."""
    from bench.data.synthetic import MAKERS

    paths = []
    for file, digest in entry["files"].items():
        path, wanted = store.folder / file, digest.removeprefix("samples:")
        if not path.is_file() or store.facts(path).get("sha256") != wanted:
            pixels = MAKERS[path.stem]()
            if (got := sha256_pixels(pixels)) != wanted:
                raise RdbenchError(
                    f"dataset {name}: making {path.stem}: expected samples with the sha256 {wanted}, got {got}; "
                    "install the versions of NumPy and Pillow in requirements.lock"
                )
            write_atomically(path, as_file(pixels, path))
        paths.append(path)
    return paths


def _origin(entry: Mapping[str, Any]) -> str:
    if "urls" in entry:
        return entry["urls"][0]
    return entry["archive"]["sources"][0]["url"] if "archive" in entry else "a mirror"


def _user_folder(name: str) -> Manifest:
    folder = _folder(name)
    paths = _images_in(folder)
    readable, refused = [], []
    for path, image in zip(paths, _distinct_names(paths), strict=True):
        if reason := _file_fault(path):
            refused.append({"name": image, "reason": printable(reason)})
        else:
            readable.append((path, image))
    manifest = Manifest(name, licence="the user's own", source=printable(str(folder)), refused=refused)
    with locked_store(folder_store(folder)) as store:
        return _with_images(manifest, readable, {}, store)


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """A unique name for each file's results: without extension, or with it where two would be the same."""
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


def _file_fault(path: Path) -> str:
    """Why an apparent image is not a readable file; empty if it is one."""
    if path.is_file():
        return ""
    if path.is_dir():
        return f"{path} is a sub-folder with images, and sub-folders are not searched; to use it, name {FOLDER}{path}"
    return f"{path} is a broken link" if path.is_symlink() else f"{path} is not a file"


def _folder(name: str) -> Path:
    folder = Path(name.removeprefix(FOLDER)).expanduser().resolve()
    if not folder.is_dir():
        raise UsageError(f"dataset {name}: {folder} is not a folder")
    return folder


def _images_in(folder: Path) -> list[Path]:
    """Apparent images directly in ``folder``, and sub-folders that contain some, sorted by name.

    Extensions decide; hidden files are ignored.
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
