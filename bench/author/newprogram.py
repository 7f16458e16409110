"""The source of a wrapper around two programs: an encoder and a decoder given as command lines."""

from __future__ import annotations

import json
import keyword
import re
import shlex
import shutil
import string
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.codec import Codec, Image
from bench.errors import RdbenchError, UsageError
from bench.parameters import parameters_from_points

IMAGES = ("png", "ppm")  # that programs may take; of what the decoder writes, the content decides the format
SOURCE = '''"""{title}: two programs, wrapped by `rdbench new-codec`. Say here what they are and whose."""

from __future__ import annotations

from bench.codec import {contract}
from codecs_wrappers.native.program import ProgramCodec


class {title}(ProgramCodec):
    """One line that says what it is."""

{members}


CODECS = [{title}()]
'''


@dataclass(frozen=True)
class Programs:
    """An encoder and a decoder as command lines with {in} and {out}; the encoder's may have one setting, as {q}.

    points: the setting's values; none without a setting. images: what the encoder reads, "png" or "ppm"; the first that
    works if empty. extension: of its files. version: a command that prints the version; the programs' hashes if empty.
    """

    command: str
    decode: str
    points: tuple[Any, ...] = ()
    images: str = ""
    extension: str = ""
    version: str = ""


def missing(programs: Programs) -> list[str]:
    """The programs that are not installed here, so that nothing can be tried with them."""
    first = (shlex.split(line)[:1] for line in (programs.command, programs.decode) if _closed(line))
    names = dict.fromkeys(name for words in first for name in words)
    return [name for name in names if not shutil.which(name) and not Path(name).is_file()]


def _closed(line: str) -> bool:
    """Whether a command line has all its quotation marks; another one is refused by `wrap`."""
    try:
        return bool(shlex.split(line))
    except ValueError:
        return False


def values(text: str) -> tuple[Any, ...]:
    """The values in "10,20,30": numbers where they are numbers, else texts."""
    return tuple(_value(part.strip()) for part in text.split(",") if part.strip())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def wrap(name: str, title: str, programs: Programs) -> str:
    """The source of a codec ``name`` of class ``title``; its points are in order of rising rate.

    Programs that are not installed here are wrapped as they are. Raises UsageError for commands without {in} and
    {out}, for other fields than one setting, and for programs that fail on a small photograph, with what they said.
    """
    doing = f"a new codec called {name!r}"
    encoder, settings = _words(programs.command, f"{doing}, --command", {"in": "image", "out": "bitstream"})
    decoder, unknown = _words(programs.decode, f"{doing}, --decode", {"in": "bitstream", "out": "image"})
    if unknown or len(settings) > 1 or not all(map(_is_setting, settings)):
        raise UsageError(
            f"{doing}: --command takes {{in}}, {{out}} and one setting such as {{q}}, --decode {{in}} and {{out}} (the "
            f"bitstream alone has to decode); got {', '.join(f'{{{name}}}' for name in (*settings, *unknown))}"
        )
    if bool(settings) != bool(programs.points) or len(set(programs.points)) < len(programs.points):
        raise UsageError(
            f"{doing}: a setting in --command, such as {{q}}, needs its values, each once, such as --points 10,20,30, "
            f"and values need a setting; got {f'{{{settings[0]}}}' if settings else 'no setting'} and "
            f"{len(programs.points)} values"
        )
    if odd := [str(value) for value in programs.points if re.search(r"[^\w.-]", str(value))]:
        raise UsageError(f"{doing}: values become names of files: letters, digits and ._- only; got {', '.join(odd)}")
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
    errors = []
    for images in [programs.images] if programs.images else IMAGES:
        members["image_extension"] = f".{images}"
        source, reverse = (_source(title, members, settings, points) for points in _both_ways(programs.points))
        try:
            return source if _rate_rises(_codec(source)) else reverse
        except (RdbenchError, ValueError) as error:  # a ValueError is of a format such as {q:x}
            errors.append(f"{images} images: {error}")
    raise UsageError(f"{doing}: its programs do not code a small photograph. {'; '.join(errors)}")


def _words(command: str, doing: str, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """The words of a command line, {in} and {out} as CommandCodec calls them, and the names of the other fields.

    A word that is a file becomes an absolute path: codecs run in folders of their own.
    """
    try:
        words = shlex.split(command)
        fields = [field for word in words for _, field, _, _ in string.Formatter().parse(word) if field is not None]
    except ValueError as error:
        raise UsageError(f"{doing}: {error}: {command}") from None
    if lacking := [f"{{{name}}}" for name in files if name not in fields]:
        raise UsageError(f"{doing}: expected {{in}} and {{out}} in it, {' and '.join(lacking)} is missing: {command}")
    for name, called in files.items():
        words = [word.replace(f"{{{name}}}", f"{{{called}}}") for word in words]
    program, *arguments = words
    installed = "/" not in program and shutil.which(program)
    absolute = [str(Path(word).absolute()) if Path(word).is_file() else word for word in arguments]
    first = program if installed or not Path(program).is_file() else str(Path(program).absolute())
    return [first, *absolute], [field for field in dict.fromkeys(fields) if field not in (*files, "width", "height")]


def _is_setting(field: str) -> bool:
    """Whether it can be a parameter of a Point, and a field of a command beside CommandCodec's own."""
    return field.isidentifier() and not keyword.iskeyword(field) and field not in ("name", "image", "bitstream")


def _both_ways(points: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    return points, points[::-1]


def _source(title: str, members: dict[str, Any], settings: list[str], points: tuple[Any, ...]) -> str:
    if settings:
        (setting,) = settings
        listed = f'tuple(Point(f"{setting}{{value}}", {setting}=value) for value in {points!r})'
    else:
        listed = '(Point("only"),)'
    lines = [f"    {name} = {_literal(value)}" for name, value in members.items()]
    lines.insert(4, f"    points = {listed}  # in order of rising rate")
    contract = "Point"
    if settings:
        (parameter,) = parameters_from_points([{settings[0]: value} for value in points])
        values = parameter.range if parameter.type is not str else tuple(sorted(parameter.range))
        declared = f'Parameter("{parameter.name}", {parameter.type.__name__}, {values!r}, "as the encoder takes it")'
        lines.insert(5, f"    parameters = ({declared},)  # wider, if the encoder takes more")
        contract = "Parameter, Point"
    return SOURCE.format(title=title, members="\n".join(lines), contract=contract)


def _literal(value: str | tuple[str, ...]) -> str:
    """As ruff would write it: double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"


def _codec(source: str) -> Codec:
    """The codec that the source gives."""
    namespace: dict[str, Any] = {"__name__": "bench.author.newprogram.trial"}
    exec(compile(source, "<new codec>", "exec"), namespace)
    return namespace["CODECS"][0]


def _rate_rises(codec: Codec) -> bool:
    """Whether the last point takes no less than the first. Raises RdbenchError if the programs do not work.

    True where they are not installed, so that nothing can be found out.
    """
    if not codec.available()[0]:
        return True
    codec.version()
    image = _photograph()
    ends = [codec.encode(image, point) for point in (codec.points[0], codec.points[-1])]
    for bitstream in ends:
        shape = codec.decode(bitstream).shape
        if shape != image.shape:
            raise RdbenchError(f"expected a picture of {image.shape} from the decoder, got {shape}")
    return len(ends[0]) <= len(ends[1])


def _photograph() -> Image:
    """96 x 128 pixels of an embedded photograph."""
    import numpy as np
    from PIL import Image as PillowImage

    spec = find_spec("skimage")
    folder = Path(spec.submodule_search_locations[0])  # type: ignore[union-attr, index]
    with PillowImage.open(folder / "data" / "astronaut.png") as picture:
        return np.asarray(picture.convert("RGB"))[90:186, 160:288].copy()
