"""Writes a wrapper around two programs: an encoder and a decoder given as command lines."""

from __future__ import annotations

import json
import keyword
import re
import shlex
import shutil
import string
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.codec import Codec, Image, Parameter, Point
from bench.errors import RdbenchError, UsageError
from bench.parameters import parameters_from_points
from codecs_wrappers.native.program import ProgramCodec

IMAGES = ("png", "ppm")  # formats that programs may read; the decoder's output is recognised by its content
SOURCE = '''"""{title}: two programs, wrapped by `rdbench new-codec`. Say here what they are and who wrote them."""

from __future__ import annotations

from bench.codec import {contract}
from codecs_wrappers.native.program import ProgramCodec


class {title}(ProgramCodec):
    """One line that describes it."""

{members}


CODECS = [{title}()]
'''


@dataclass(frozen=True)
class Programs:
    """An encoder and a decoder as command lines with {in} and {out}; the encoder's may have one setting, as {q}.

    points: the setting's values; empty without a setting. images: what the encoder reads, "png" or "ppm"; if empty, the
    first that works. extension: of its files. version: a command that prints the version; if empty, the programs'
    hashes.
    """

    command: str
    decode: str
    points: tuple[Any, ...] = ()
    images: str = ""
    extension: str = ""
    version: str = ""


def missing_programs(programs: Programs) -> list[str]:
    """The programs that are not installed here, so that the wrapper cannot be tried."""
    first = (shlex.split(line)[:1] for line in (programs.command, programs.decode) if _quotes_match(line))
    names = dict.fromkeys(name for words in first for name in words)
    return [name for name in names if not shutil.which(name) and not Path(name).is_file()]


def _quotes_match(line: str) -> bool:
    """Whether a command line's quotation marks are closed; if not, :func:`wrap` refuses it."""
    try:
        return bool(shlex.split(line))
    except ValueError:
        return False


def parse_values(text: str) -> tuple[Any, ...]:
    """The values in "10,20,30": numbers where possible, strings otherwise."""
    return tuple(_value(part.strip()) for part in text.split(",") if part.strip())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def wrap(name: str, title: str, programs: Programs) -> str:
    """The source of a codec ``name`` of class ``title``, with its points by increasing rate.

    Programs that are not installed here are wrapped untested. Raises UsageError for commands without {in} and {out},
    for fields other than one setting, and, with their messages, for programs that fail on a small photograph.
    """
    doing = f"a new codec called {name!r}"
    encoder, settings = _words(programs.command, f"{doing}, --command", {"in": "image", "out": "bitstream"})
    decoder, unknown = _words(programs.decode, f"{doing}, --decode", {"in": "bitstream", "out": "image"})
    if unknown or len(settings) > 1 or not all(map(_is_setting, settings)):
        raise UsageError(
            f"{doing}: expected {{in}}, {{out}} and at most one setting such as {{q}} in --command, and only {{in}} "
            f"and {{out}} in --decode; got {', '.join(f'{{{name}}}' for name in (*settings, *unknown))}"
        )
    if bool(settings) != bool(programs.points) or len(set(programs.points)) < len(programs.points):
        raise UsageError(
            f"{doing}: a setting in --command, such as {{q}}, needs distinct values, such as --points 10,20,30, and "
            f"values need a setting; got {f'{{{settings[0]}}}' if settings else 'no setting'} and "
            f"{len(programs.points)} values"
        )
    if odd := [str(value) for value in programs.points if re.search(r"[^\w.-]", str(value))]:
        raise UsageError(
            f"{doing}: values become parts of file names: expected letters, digits and ._- only, got {', '.join(odd)}"
        )
    words = (*encoder[1:], *decoder[1:])
    members = {
        "name": name,
        "extension": f".{(programs.extension or name).lstrip('.')}",
        "label": title,
        "description": " ".join(Path(word).name if Path(word).is_file() else word for word in encoder),
        "encoder": tuple(encoder),
        "decoder": tuple(decoder),
    }
    members |= {"version_command": tuple(shlex.split(programs.version))} if programs.version else {}
    members |= {"files": files} if (files := tuple(dict.fromkeys(w for w in words if Path(w).is_file()))) else {}
    parameters = parameters_from_points({setting: value} for setting in settings for value in programs.points)
    errors = []
    for images in [programs.images] if programs.images else IMAGES:
        members["image_extension"] = f".{images}"
        try:
            rises = _rate_rises(_codec(members, parameters, programs.points))
        except (RdbenchError, ValueError) as error:  # a ValueError comes from a format such as {q:x}
            errors.append(f"{images} images: {error}")
        else:
            return _source(title, members, parameters, programs.points if rises else programs.points[::-1])
    raise UsageError(f"{doing}: the programs failed on a small photograph. {'; '.join(errors)}")


def _words(command: str, doing: str, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """The words of a command line, with {in} and {out} renamed for CommandCodec, and the names of its other fields.

    A word that names a file becomes an absolute path, because codecs run in temporary folders.
    """
    try:
        words = shlex.split(command)
        fields = [field for word in words for _, field, _, _ in string.Formatter().parse(word) if field is not None]
    except ValueError as error:
        raise UsageError(f"{doing}: {error}: {command}") from None
    if lacking := [f"{{{name}}}" for name in files if name not in fields]:
        raise UsageError(f"{doing}: expected {{in}} and {{out}}, but {' and '.join(lacking)} is missing in: {command}")
    for name, called in files.items():
        words = [word.replace(f"{{{name}}}", f"{{{called}}}") for word in words]
    program, *arguments = words
    installed = "/" not in program and shutil.which(program)
    absolute = [str(Path(word).absolute()) if Path(word).is_file() else word for word in arguments]
    first = program if installed or not Path(program).is_file() else str(Path(program).absolute())
    return [first, *absolute], [field for field in dict.fromkeys(fields) if field not in (*files, "width", "height")]


def _is_setting(field: str) -> bool:
    """Whether it can be a parameter of a Point and is not one of CommandCodec's own fields."""
    return field.isidentifier() and not keyword.iskeyword(field) and field not in ("name", "image", "bitstream")


def _codec(members: dict[str, Any], parameters: tuple[Parameter, ...], points: tuple[Any, ...]) -> ProgramCodec:
    """The codec that :func:`_source` writes down, with these members."""
    codec = ProgramCodec()
    for name, value in members.items():
        setattr(codec, name, value)
    codec.parameters = parameters
    codec.points = (Point("only"),)
    for parameter in parameters:
        codec.points = tuple(Point(f"{parameter.name}{value}", **{parameter.name: value}) for value in points)
    return codec


def _source(title: str, members: dict[str, Any], parameters: tuple[Parameter, ...], points: tuple[Any, ...]) -> str:
    """The module: a class with ``members``, and with ``points`` of its one parameter, if it has one."""
    listed, contract, declared = '(Point("only"),)', "Point", ""
    for parameter in parameters:
        name = parameter.name
        values = parameter.range if parameter.type is not str else tuple(sorted(parameter.range))
        listed = f'tuple(Point(f"{name}{{value}}", {name}=value) for value in {points!r})'
        declared = f'Parameter("{name}", {parameter.type.__name__}, {values!r}, "as the encoder takes it")'
        contract = "Parameter, Point"
    lines = [f"    {name} = {_literal(value)}" for name, value in members.items()]
    lines.insert(4, f"    points = {listed}  # by increasing rate")
    if declared:
        lines.insert(5, f"    parameters = ({declared},)  # widen this if the encoder takes more")
    return SOURCE.format(title=title, members="\n".join(lines), contract=contract)


def _literal(value: str | tuple[str, ...]) -> str:
    """A Python literal with double quotes, as ruff formats it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"


def _rate_rises(codec: Codec) -> bool:
    """Whether the last point takes at least as many bytes as the first. Raises RdbenchError if the programs fail.

    True if they are not installed, as nothing can be measured then.
    """
    if not codec.available()[0]:
        return True
    codec.version()
    image = _photograph()
    ends = [codec.encode(image, point) for point in (codec.points[0], codec.points[-1])]
    for bitstream in ends:
        shape = codec.decode(bitstream).shape
        if shape != image.shape:
            raise RdbenchError(f"expected a picture of shape {image.shape} from the decoder, got {shape}")
    return len(ends[0]) <= len(ends[1])


def _photograph() -> Image:
    """A photograph of 96 x 128 pixels (uint8, H x W x 3), from scikit-image."""
    import numpy as np
    from PIL import Image as PillowImage

    spec = find_spec("skimage")
    folder = Path(spec.submodule_search_locations[0])  # type: ignore[union-attr, index]
    with PillowImage.open(folder / "data" / "astronaut.png") as picture:
        return np.asarray(picture.convert("RGB"))[90:186, 160:288].copy()
