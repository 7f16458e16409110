"""The state of a codec: availability, version, and the hashes of its code and weights.

A codec's jobs run again when any of these changes, and only then.
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
from bench.codec import Codec, is_variable
from bench.discovery import discover, module_of
from bench.errors import RdbenchError, plain_text
from bench.files import to_json, write_if_changed
from bench.installed import registered, source_file

TEXTS = ("reason", "version", "weights_sha256", "label", "description", "extension", "role", "copyleft", "counterpart")
TRAINING_TEXTS = ("name", "device", "start", "base")
TRAINING_NUMBERS = (
    "bytes",
    "steps",
    "crops",
    "crop",
    "images",
    "hours",
    "loss",
    "bpp",
    "psnr_rgb_db",
    "validation_images",
)


@dataclass(frozen=True)
class CodecState:
    """The state of one codec. ``error`` is set if its wrapper cannot be imported or raises an error."""

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
    variable: bool = False  # any rate can be asked of it
    lossless: bool = False
    copyleft: str = ""
    counterpart: str = ""
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
        """``folder/<codec>.json``, written only if its content changes."""
        path = folder / f"{self.codec}.json"
        write_if_changed(path, to_json(asdict(self)))
        return path


def codec_state(codec: Codec) -> CodecState:
    """The state of ``codec``. An exception that its wrapper raises ends up in ``error``."""
    fields: dict[str, Any] = {
        "codec": codec.name,
        "module": module_of(codec),
        "role": codec.role,
        "label": codec.label or codec.name,
        "description": codec.description,
        "extension": codec.extension,
        "embedded": hasattr(codec, "truncate"),
        "variable": is_variable(codec),
        "lossless": codec.lossless,
        "copyleft": codec.copyleft,
        "counterpart": codec.counterpart,
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
                raise ValueError("version() is empty: it must state what determines the bits")
        elif not reason:
            raise ValueError("available() returned False without a reason")
        _check_types(fields)
    except (Exception, SystemExit) as error:
        message = plain_text(f"{type(error).__name__}: {error}")
        nothing = {"reason": "", "version": "", "weights_sha256": "", "training": ()}
        fields |= {"available": False, "error": message, **nothing}
    return CodecState(**fields)


def _check_types(fields: dict[str, Any]) -> None:
    """Raises TypeError for a value that tables and the page cannot hold: a string for a number, or the reverse."""
    for name in TEXTS:
        if not isinstance(fields.get(name, ""), str):
            raise TypeError(f"{name} must be a string, got {fields[name]!r}")
        fields[name] = plain_text(fields.get(name, ""))
    for facts in fields.get("training", ()):
        if not isinstance(facts.get("name"), str):
            raise TypeError(f"training() must give the name of each file, got {facts!r}")
        for key, value in facts.items():
            wanted: Any = str if key in TRAINING_TEXTS else Real if key in TRAINING_NUMBERS else object
            if isinstance(value, bool) or not isinstance(value, wanted):
                kind = "a string" if wanted is str else "a number"
                raise TypeError(f"training() must give {key} of {facts['name']} as {kind}, got {value!r}")


def all_codec_states() -> dict[str, CodecState]:
    """The state of every codec, by name; a wrapper that cannot be imported is listed under its module's name."""
    found = {}
    for wrapper in discover():
        if wrapper.error:
            reason = f"{wrapper.path} could not be imported: {wrapper.error}"
            code = code_sha256(wrapper.key) if _file(_start(wrapper.key)[0]) else ""  # a module that does not exist
            found[wrapper.module] = CodecState(wrapper.module, wrapper.key, error=reason, code_sha256=code)
        found |= {codec.name: codec_state(codec) for codec in wrapper.codecs}
    return found


def code_sha256(module: str) -> str:
    """sha256 over a wrapper module and everything in codecs_wrappers/ it imports, directly or not.

    module: a file's name without .py, or ``DISTRIBUTION:MODULE`` of an installed package; in that case, what it imports
    from its own distribution counts too, with compiled modules and the packages that contain them.
    The syntax tree is hashed, so comments and layout do not count; a file that does not parse is hashed as it is.
    A module that declares ``AFFECTS_BITSTREAM = False`` (commands) is left out, as is a whole package whose
    ``__init__.py`` declares it (training: the weights have a hash of their own).
    Raises RdbenchError if there is no such module, as the hash of nothing would be the same for every version.
    """
    start, own = _start(module)
    if _file(start) is None:
        places = ", ".join(codecs_wrappers.__path__)
        raise RdbenchError(f"hashing the code of wrapper {module!r}: there is no such file in {places}")
    digest = hashlib.sha256()
    seen: set[str] = set()
    queue = _packages(start)
    while queue:
        name = queue.pop(0)
        path = _file(name)
        if name in seen or path is None or not all(map(_affects_bitstream, _packages(name))):
            continue
        seen.add(name)
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        code, imports = _parsed(path.read_bytes(), name, package, own)
        digest.update(code)
        queue += imports
    return digest.hexdigest()


def _start(module: str) -> tuple[str, frozenset[str]]:
    """The first module of a wrapper's hash, and the top-level modules of its distribution.

    Modules of codecs_wrappers/ are named relative to it ("native.bpg"), those of a distribution by a colon and their
    whole name (":rdbench_palette.wrapper").
    """
    if ":" not in module:
        return module, frozenset()
    own = next((it.top_level for it in registered() if it.key == module), frozenset[str]())
    return f":{module.partition(':')[2]}", own


def _packages(module: str) -> list[str]:
    """A module and the packages it lies in: "learned.training.ship" -> all three."""
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _affects_bitstream(module: str) -> bool:
    path = _file(module)
    return path is None or b"\nAFFECTS_BITSTREAM = False" not in path.read_bytes()


@cache  # codecs share most of what they import
def _parsed(source: bytes, name: str, package: str, own: frozenset[str]) -> tuple[bytes, tuple[str, ...]]:
    """The bytes to hash for the module ``name`` in ``package``, and the modules it imports whose code counts."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source, ()
    return f"{name}\n{ast.dump(tree)}\n".encode(), tuple(sorted(_imports(tree, package, own)))


def _file(module: str) -> Path | None:
    """The file of a module, if there is one: "native.bpg" in codecs_wrappers/, ":package.module" where installed."""
    if module.startswith(":"):
        return source_file(module[1:])
    for folder in codecs_wrappers.__path__:
        base = Path(folder, *module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _imports(tree: ast.AST, package: str, own: frozenset[str]) -> set[str]:
    """Modules that a source file in ``package`` may import, with the packages they lie in.

    Those of codecs_wrappers and those below the top-level modules ``own``.
    """
    root = codecs_wrappers.__name__
    home = package[1:].split(".") if package.startswith(":") else [root, *filter(None, package.split("."))]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*home[: len(home) + 1 - node.level], *filter(None, [base])])
            names |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    inside = [name.partition(".")[2] for name in names if name.startswith(f"{root}.")]
    inside += [f":{name}" for name in names if name.partition(".")[0] in own]
    return {package for name in inside for package in _packages(name)}
