"""A codec made of two command lines, for any encoder and decoder that read and write files."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.codec import Codec, Image, Point
from bench.errors import BitstreamError, RdbenchError, TransientError, UnavailableError, killed_externally

LONGEST_OUTPUT = 300  # characters of a program's output in an error


class CommandCodec(Codec):
    """Runs ``encoder`` and ``decoder``, argument lists with placeholders.

    {image}, {bitstream}, {width}, {height} and the point's parameters are replaced by their values, as in ``("bpgenc",
    "-q", "{qp}", "-o", "{bitstream}", "{image}")``. The decoder's list may use {image}, {bitstream} and what ``unpack``
    finds in the bitstream, since the bitstream alone has to be enough to decode it. For binaries that use another image
    format or do not keep the size, override ``save`` and ``load``, ``pack`` and ``unpack``.
    """

    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    version_command: tuple[str, ...]  # prints the version on either stream; its exit status is ignored
    version_pattern: str = r"\d+(\.\d+)+"
    image_extension: str = ".png"  # the format that both use; .png and .ppm are lossless
    timeout_s: float = 600.0

    def available(self) -> tuple[bool, str]:
        missing = [name for name in dict.fromkeys((self.encoder[0], self.decoder[0])) if not shutil.which(name)]
        return not missing, f"{' and '.join(missing)} not on the PATH" if missing else ""

    def version(self) -> str:
        result = self._run(self.version_command, "asking its version", check=False)
        output = result.stdout + result.stderr
        found = re.search(self.version_pattern, output)
        if not found:
            raise UnavailableError(
                f"{self.name}, asking its version: expected {self.version_pattern!r} in the output of "
                f"{self.version_command}, got {_tail(output)}"
            )
        # Names, not paths: the same program may be elsewhere on another machine.
        command = " ".join((Path(self.encoder[0]).name, *self.encoder[1:]))
        return f"{Path(self.version_command[0]).name} {found.group()}; {command}"

    def encode(self, image: Image, point: Point) -> bytes:
        with tempfile.TemporaryDirectory(prefix="rdbench-") as folder:
            source, target = Path(folder, "image" + self.image_extension), Path(folder, "bitstream" + self.extension)
            fields = {"width": image.shape[1], "height": image.shape[0], **point.parameters, **self.save(image, source)}
            self._run(_fill(self.encoder, fields, source, target), f"encoding at {point.name}")
            return self.pack(image, self._read(target, f"encoding at {point.name}"))

    def decode(self, bitstream: bytes) -> Image:
        with tempfile.TemporaryDirectory(prefix="rdbench-") as folder:
            source, target = Path(folder, "bitstream" + self.extension), Path(folder, "image" + self.image_extension)
            code, fields = self.unpack(bitstream)
            source.write_bytes(code)
            try:
                self._run(_fill(self.decoder, fields, target, source), "decoding")
                self._read(target, "decoding")
                return self.load(target, fields)
            except (RdbenchError, OSError) as error:
                if isinstance(error, UnavailableError):
                    raise
                raise BitstreamError(str(error)) from error

    def save(self, image: Image, path: Path) -> dict:
        """Write ``image`` in the encoder's format. Returns further fields for its argument list, or none."""
        PillowImage.fromarray(image).save(path)
        return {}

    def load(self, path: Path, fields: dict) -> Image:
        """The picture (uint8, H x W x 3) that the decoder wrote. fields: those of ``unpack``."""
        with PillowImage.open(path) as picture:
            return np.asarray(picture.convert("RGB"))

    def pack(self, image: Image, code: bytes) -> bytes:
        """The bitstream: the encoder's file, and whatever else the decoder needs."""
        return code

    def unpack(self, bitstream: bytes) -> tuple[bytes, dict]:
        """The decoder's file, and fields for its argument list. Raises BitstreamError."""
        return bitstream, {}

    def _run(self, command: tuple[str, ...], doing: str, check: bool = True) -> subprocess.CompletedProcess:
        """The finished process. Raises UnavailableError without the binary, RdbenchError on failure, and TransientError
        for a timeout or a program that was killed.
        """
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout_s,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise UnavailableError(f"{self.name}, {doing}: {command[0]} is not on the PATH; install it") from error
        except subprocess.TimeoutExpired as error:
            raise TransientError(
                f"{self.name}, {doing}: no result after {self.timeout_s:g} s: {' '.join(command)}"
            ) from error
        if check and result.returncode:
            kind = TransientError if killed_externally(result.returncode) else RdbenchError
            failure = kind(
                f"{self.name}, {doing}: expected exit status 0, got {result.returncode} from {Path(command[0]).name}: "
                f"{_tail(result.stderr or result.stdout)}"
            )
            failure.add_note(f"{' '.join(command)}\n{result.stderr}")  # for the log
            raise failure
        return result

    def _read(self, path: Path, doing: str) -> bytes:
        if not path.is_file() or not path.stat().st_size:
            raise RdbenchError(
                f"{self.name}, {doing}: the command succeeded but wrote no {path.name}; check its arguments"
            )
        return path.read_bytes()


def _fill(command: tuple[str, ...], fields: dict, image: Path, bitstream: Path) -> tuple[str, ...]:
    return tuple(part.format(**fields, image=image, bitstream=bitstream) for part in command)


def _tail(text: str) -> str:
    """The last lines of a program's output, which usually name the error, without memory addresses."""
    lines = " | ".join(re.sub(r"\[[^]]*@ 0x[0-9a-f]+] ?", "", text).strip().splitlines()[-5:]) or "(no output)"
    if len(lines) <= LONGEST_OUTPUT:
        return lines
    return f"{lines[: LONGEST_OUTPUT // 2]} ... {lines[-LONGEST_OUTPUT // 2 :]}"
