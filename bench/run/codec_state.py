"""What a codec is at this moment: availability, version, and the hashes of its code and weights.

A change of any of them, and nothing else, makes a codec's jobs run again.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import codecs_wrappers
from bench.codec import Codec
from bench.discovery import discover, module_of
from bench.errors import RdbenchError, plain_text
from bench.files import to_json, write_if_changed

TRAINING_TEXTS = ("name", "device", "start", "base")
TRAINING_NUMBERS = (
    *("bytes", "steps", "crops", "crop", "images", "hours", "loss", "bpp", "psnr_rgb_db", "validation_images"),
)


@dataclass(frozen=True)
class CodecState:
    """The state of one codec. ``error`` is set for a wrapper that could not be imported or asked."""

    codec: str
    module: str
    role: str = "codec"
    available: bool = False
    reason: str = ""
    error: str = ""
    version: str = ""
    code_sha256: str = ""
    weights_sha256: str = ""
    label: str = ""
    description: str = ""
    extension: str = ""
    embedded: bool = False
    lossless: bool = False
    colour: dict[str, Any] | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    points: tuple[dict[str, Any], ...] = ()
    training: tuple[dict[str, Any], ...] = ()

    def settable(self) -> list[str]:
        """A line for each parameter, such as ``quality=1..100  libjpeg's quality``."""
        lines = []
        for it in self.parameters:
            ends = ["" if end is None else str(end) for end in it["range"]]
            values = "|".join(ends) if it["type"] == "str" else "..".join(ends)
            lines.append(f"{it['name']}={values}  {it['meaning']}".rstrip())
        return lines

    def write(self, folder: Path) -> Path:
        """``folder/<codec>.json``, touched only if its content changes."""
        path = folder / f"{self.codec}.json"
        write_if_changed(path, to_json(asdict(self)))
        return path


def codec_state(codec: Codec) -> CodecState:
    """The state of ``codec``. A wrapper that raises when asked is in error, not an exception here."""
    fields: dict[str, Any] = {
        "codec": codec.name,
        "module": module_of(codec),
        "role": codec.role,
        "label": codec.label or codec.name,
        "description": codec.description,
        "extension": codec.extension,
        "embedded": hasattr(codec, "truncate"),
        "lossless": codec.lossless,
        "colour": asdict(codec.colour) if codec.colour else None,
        "parameters": tuple(parameter.to_json() for parameter in codec.parameters),
        "points": tuple({"name": p.name, "parameters": dict(p.parameters)} for p in codec.points),
        "code_sha256": code_sha256(module_of(codec)),
    }
    try:
        available, reason = codec.available()
        fields |= {"available": bool(available), "reason": reason}
        if available:
            fields |= {"version": codec.version(), "weights_sha256": codec.weights_digest()}
            fields["training"] = tuple(map(dict, codec.training()))
            if not fields["version"]:
                raise ValueError("version() is empty: it must name what decides the bits")
        elif not reason:
            raise ValueError("available() says no but not why")
        _check_types(fields)
    except (Exception, SystemExit) as error:
        told = plain_text(f"{type(error).__name__}: {error}")
        nothing = {"reason": "", "version": "", "weights_sha256": "", "training": ()}
        fields |= {"available": False, "error": told, **nothing}
    return CodecState(**fields)


def _check_types(fields: dict[str, Any]) -> None:
    """Raises TypeError for what the tables and the page could not hold: text for a number, a number for a text."""
    for name in ("reason", "version", "weights_sha256", "label", "description", "extension", "role"):
        if not isinstance(fields.get(name, ""), str):
            raise TypeError(f"{name} must be a text, it is {fields[name]!r}")
        fields[name] = plain_text(fields.get(name, ""))
    for facts in fields.get("training", ()):
        if not isinstance(facts.get("name"), str):
            raise TypeError(f"training() must give each file's name, it gives {facts!r}")
        for key, value in facts.items():
            wanted: Any = str if key in TRAINING_TEXTS else Real if key in TRAINING_NUMBERS else object
            if isinstance(value, bool) or not isinstance(value, wanted):
                kind = "a text" if wanted is str else "a number"
                raise TypeError(f"training() must give {key} of {facts['name']} as {kind}, it gives {value!r}")


def all_codec_states() -> dict[str, CodecState]:
    """The state of every codec found, by name; a wrapper that cannot be imported stands under its module's name."""
    found = {}
    for wrapper in discover():
        if wrapper.error:
            reason = f"{wrapper.path} could not be imported: {wrapper.error}"
            found[wrapper.module] = CodecState(
                wrapper.module, wrapper.module, error=reason, code_sha256=code_sha256(wrapper.module)
            )
        found |= {codec.name: codec_state(codec) for codec in wrapper.codecs}
    return found


def code_sha256(module: str) -> str:
    """sha256 over a wrapper module and everything in codecs_wrappers/ it imports, directly or not.

    What is hashed is the syntax tree, so comments and layout do not count; a file that does not parse counts as it is.
    A module that declares ``AFFECTS_BITSTREAM = False`` (commands) is left out, as is a whole package whose
    ``__init__.py`` declares it (training: the weights have a hash of their own).
    Raises RdbenchError if there is no such module: the hash of nothing would make every version of it look the same.
    """
    if _file(module) is None:
        places = ", ".join(codecs_wrappers.__path__)
        raise RdbenchError(f"hashing the code of wrapper {module!r}: there is no such file in {places}")
    digest = hashlib.sha256()
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop(0)
        path = _file(name)
        if name in seen or path is None or not all(map(_affects_bitstream, _packages(name))):
            continue
        seen.add(name)
        code, imports = _parsed(path.read_bytes(), name, name if path.stem == "__init__" else name.rpartition(".")[0])
        digest.update(code)
        queue += imports
    return digest.hexdigest()


def _packages(module: str) -> list[str]:
    """A module and the packages it lies in: "learned.training.ship" -> all three."""
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _affects_bitstream(module: str) -> bool:
    path = _file(module)
    return path is None or b"\nAFFECTS_BITSTREAM = False" not in path.read_bytes()


@cache  # codecs share most of what they import
def _parsed(source: bytes, name: str, package: str) -> tuple[bytes, tuple[str, ...]]:
    """What of a module ``name`` in ``package`` is hashed, and the modules of codecs_wrappers that it imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source, ()
    return f"{name}\n{ast.dump(tree)}\n".encode(), tuple(sorted(_imports(tree, package)))


def _file(module: str) -> Path | None:
    """The source file of a module named relative to codecs_wrappers ("native.bpg"), if there is one."""
    for folder in codecs_wrappers.__path__:
        base = Path(folder, *module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _imports(tree: ast.AST, package: str) -> set[str]:
    """Modules of codecs_wrappers that a source file in ``package`` may import, with the packages they lie in."""
    root = codecs_wrappers.__name__
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = [root, *filter(None, package.split("."))]
                base = ".".join([*parents[: len(parents) + 1 - node.level], *filter(None, [base])])
            names |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    inside = [name.split(".")[1:] for name in names if name.split(".")[0] == root]
    return {".".join(parts[:depth]) for parts in inside for depth in range(1, len(parts) + 1)}
