"""Commands for one image and one codec."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench.commands import DEVICE, Commands, add_command, argument, show
from bench.errors import RdbenchError, UsageError, describe_error, explain_errors
from bench.progress import say


def _list(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from bench.run.codec_state import all_codec_states

    statuses = all_codec_states()
    lines = []
    for name, status in statuses.items():
        state = status.version if status.available else f"NOT AVAILABLE: {status.error or status.reason}"
        lines += [f"{name:20} {status.role:10} {state}"]
        lines += [f"{'':20} {' '.join(point['name'] for point in status.points)}"]
        lines += [f"{'':20} --set {line}" for line in status.settable()]
        if status.copyleft:
            lines += [f"{'':20} copyleft: {status.copyleft}"]
        if ":" in status.module:
            lines += [f"{'':20} from the installed package {status.module.partition(':')[0]}"]
    show(args, map(asdict, statuses.values()), "\n".join(lines))


def _encode(args: argparse.Namespace) -> None:
    from bench.codec import check_image
    from bench.data.datasets import load_image
    from bench.discovery import load_available
    from bench.files import check_output, sha256, write_atomically

    codec = load_available(args.codec)
    check_output(args.bitstream, args.image)
    point = codec.point(args.point) if args.point else codec.points[len(codec.points) // 2]
    if args.set:
        name = "-".join(text.replace("=", "") for text in args.set)
        point = codec.changed(point, name, **dict(_assignment(text) for text in args.set))
    image = check_image(load_image(args.image))
    with explain_errors(f"encoding {args.image} as {codec.name} at {point.name}"):
        bitstream = codec.encode(image, point)
        check_decodes(codec, bitstream, image)
    write_atomically(args.bitstream, bitstream)
    facts = {"codec": codec.name, "image": args.image, **facts_of(point, bitstream, image), "bitstream": args.bitstream}
    text = f"{len(bitstream)} bytes, {facts['bpp']:.4f} bpp, {point.name}, sha256 {sha256(bitstream)[:12]}"
    show(args, [facts], f"{args.bitstream}: {text}")


def check_decodes(codec: Any, bitstream: bytes, image: Any) -> Any:
    """The pixels of a new bitstream of ``image``. Raises RdbenchError if it does not decode to that size."""
    try:
        pixels = codec.decode(bitstream)
    except Exception as error:
        raise RdbenchError(f"its own decoder cannot decode the result: {describe_error(error)}") from error
    if pixels.shape != image.shape:
        raise RdbenchError(f"expected a picture of {image.shape} from its own decoder, got {pixels.shape}")
    return pixels


def facts_of(point: Any, bitstream: bytes, image: Any) -> dict[str, Any]:
    """The facts of a bitstream of ``image`` (uint8, H x W x 3) at ``point``, named as in the records."""
    from bench.files import sha256

    size = {"height": image.shape[0], "width": image.shape[1], "bytes": len(bitstream)}
    rate = {"bpp": 8 * len(bitstream) / (image.shape[0] * image.shape[1]), "bitstream_sha256": sha256(bitstream)}
    return {"point": point.name, "parameters": dict(point.parameters), **size, **rate}


def _decode(args: argparse.Namespace) -> None:
    from bench.data.picture_file import as_file, format_of
    from bench.discovery import load_available
    from bench.files import check_output, sha256_pixels, write_atomically

    rows: list[dict[str, Any]] = []
    text = ""
    if not args.image and not args.progressive:
        raise UsageError(
            "decoding: expected a file for the picture, or --progressive with a folder for several pictures"
        )
    if args.image:
        format_of(args.image)
        check_output(args.image, args.bitstream)
    codec = load_available(args.codec)
    try:
        bitstream = args.bitstream.read_bytes()
    except OSError as error:
        raise UsageError(f"reading bitstream {args.bitstream}: {error.strerror}") from None
    try:
        if args.progressive:
            rows = _write_frames(codec, bitstream, args.progressive)
            text = "".join(f"{row['image']}: {row['bytes']} bytes, {row['bpp']:.4f} bpp\n" for row in rows)
        if not args.image:
            show(args, rows, text)
            return
        pixels = codec.decode(bitstream)
    except UsageError:
        raise
    except Exception as error:  # libraries raise anything on a foreign or corrupt file
        hint = _extension_hint(args.bitstream, codec)
        raise UsageError(f"decoding {args.bitstream} as {args.codec}: {describe_error(error)}{hint}") from None
    write_atomically(args.image, as_file(pixels, args.image))
    height, width = pixels.shape[:2]
    size = {"height": height, "width": width, "bytes": len(bitstream), "bpp": 8 * len(bitstream) / (height * width)}
    rows.append({"codec": codec.name, "image": args.image, **size, "reconstruction_sha256": sha256_pixels(pixels)})
    show(args, rows, f"{text}{args.image}: {width} x {height}, pixels sha256 {sha256_pixels(pixels)[:12]}")


def _extension_hint(bitstream: Path, codec: Any) -> str:
    """Which other codecs use a file's extension, if this one does not."""
    from bench.discovery import codecs

    names = [name for name, other in codecs().items() if other.extension == bitstream.suffix]
    if not names or codec.name in names:
        return ""
    return f"; {bitstream.suffix} is the extension of {', '.join(names)}"


def _write_frames(codec: Any, bitstream: bytes, folder: Path) -> list[dict[str, Any]]:
    from bench.run.progressive import PERCENT, write_frames

    frames = write_frames(codec, bitstream, folder)
    if len(frames) < len(PERCENT):
        refused = ", ".join(f"{percent} %" for percent in PERCENT[: len(PERCENT) - len(frames)])
        say(f"{refused} of the bytes: shorter than the header, so there is no picture")
    return [{"codec": codec.name, "image": path, "bytes": f.length, "bpp": f.bpp} for path, f in frames]


def _convert(args: argparse.Namespace) -> None:
    from bench.data.convert import convert
    from bench.data.picture_file import as_file, format_of
    from bench.files import sha256_pixels, write_atomically

    format_of(args.out)
    pixels, done = convert(args.image, args.background, args.frame, args.as_srgb)
    write_atomically(args.out, as_file(pixels, args.out))
    facts = {"image": args.image, "out": args.out, "height": pixels.shape[0], "width": pixels.shape[1]}
    text = f"{args.out}: {pixels.shape[1]} x {pixels.shape[0]}, {'; '.join(done) or 'no change was needed'}"
    show(args, [facts | {"done": done, "sha256": sha256_pixels(pixels)}], text)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--set: expected name=value, such as quality=60, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    codec = argument("codec", help="a name from `rdbench list`")
    add_command(
        commands,
        "list",
        _list,
        "List every codec: availability with reason, version, operating points.",
        example="rdbench list --json",
    )
    add_command(
        commands,
        "encode",
        _encode,
        "Encode one image to one bitstream file.",
        codec,
        argument("image", type=Path),
        argument("bitstream", type=Path),
        argument("--point", help="an operating point (default: the middle one)"),
        argument("--set", action="append", metavar="k=v", help="change a parameter of the point, such as quality=60"),
        DEVICE,
        example="rdbench encode webp photo.png photo.webp --set quality=60",
    )
    add_command(
        commands,
        "decode",
        _decode,
        "Decode a bitstream, which needs nothing else, to a picture file.",
        codec,
        argument("bitstream", type=Path),
        argument("image", type=Path, nargs="?", help="the file to write, in a lossless format such as PNG"),
        argument(
            "--progressive",
            type=Path,
            metavar="DIR",
            help="for an embedded codec: the pictures from 5, 10, 20 .. 100 %% of the bytes, as DIR/005.png and so on",
        ),
        DEVICE,
        example="rdbench decode webp photo.webp photo.png",
    )
    add_command(
        commands,
        "convert",
        _convert,
        "Convert an image that rdbench refuses to upright 8-bit sRGB without alpha, and report what changed.",
        argument("image", type=Path, help="in any installed format: HEIC, AVIF, GIF, 16-bit TIFF, CMYK JPEG"),
        argument("out", type=Path, help="the file to write, in a lossless format such as PNG"),
        argument("--background", default="", metavar="COLOUR", help="colour behind transparent pixels, such as white"),
        argument("--frame", type=int, metavar="N", help="which frame of several, from 0"),
        argument("--as-srgb", action="store_true", help="take the samples as sRGB, whatever the file says"),
        example="rdbench convert --background white logo.png logo.rgb.png",
    )
