"""How to add a codec: `rdbench new-codec NAME`, then edit codecs_wrappers/NAME.py. No other file changes.

This is a complete, working codec: it divides the pixels by a step, takes the differences of neighbours and compresses
them with zlib. Replace what it does and keep what it promises; tests/test_contract.py tests every codec for this:

* the same image and point give the same bytes, and the same bytes the same pixels, in every process;
* ``decode`` needs the bitstream and nothing else: every byte it needs is on disk and counts as rate;
* any height and width from 1 x 1 up work; a damaged bitstream is an error, never a crash or a picture of another size.

Then `python tests/fixtures/make_bitstreams.py NAME` stores a bitstream that later versions must still decode,
`pytest tests/test_contract.py -k NAME` tests it, and `snakemake --cores all` draws its curve with all the others.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from bench.codec import Codec, Image, Parameter, Point
from bench.errors import BitstreamError, UsageError

# Import what takes long to load (torch, say) inside the methods that need it: each job starts its own processes.

HEADER = struct.Struct(">8sIIBI")  # magic, height, width, step, CRC-32 of all the rest
MAGIC = b"template"
MAX_PIXELS = 1 << 28  # a forged header must not exhaust the machine's memory


class Template(Codec):
    """One line on what it is, then settings and sources. Settings belong in ``__init__`` or here."""

    name = "template"  # unique; figures.yaml, the command line and file paths use it: lower case, digits, . _ -
    extension = ".template"  # of its bitstream files
    label = "Template"  # in figures and tables
    description = "pixels divided by a step, differences packed with zlib"  # one line for `rdbench list`

    # The operating points of the RD curve, in order of rising rate. A point has a name and any JSON values.
    points = tuple(Point(f"step{step:02d}", step=step) for step in (96, 64, 48, 32, 24, 16, 12, 8))

    # All that a point and `--set` may say: name, type (int, float or str), range, meaning.
    parameters = (Parameter("step", int, (1, 255), "what the pixels are divided by"),)

    # Other members have defaults; set those that apply (bench/codec.py explains each):
    # role = "validation"  for a setting that only reproduces a published curve
    # colour = Colour("bt601", "full", "4:2:0")  if 8-bit RGB is converted: the report prints what that alone costs
    # lossless = True      if decoding always restores the pixels
    # monotone = False     if a later point may cost fewer bits than the one before
    detects_corruption = True  # the decoder notices any changed byte (CRC)

    def available(self) -> tuple[bool, str]:
        """Return (False, "why, and what to install") where it cannot run: it is then skipped rather than failed."""
        return True, ""

    def version(self) -> str:
        """Everything that decides the bits, above all library versions: when it changes, this codec runs again."""
        return f"format 1, zlib {zlib.ZLIB_RUNTIME_VERSION}, level 6"

    def encode(self, image: Image, point: Point) -> bytes:
        """The bitstream: exactly what is stored on disk. It must contain all that the decoder needs, size included.

        image is uint8, H x W x 3: before it gets here, grey is repeated, and alpha and other types are refused.
        """
        height, width = image.shape[:2]
        step = point["step"]
        if not 1 <= step <= 255 or height * width > MAX_PIXELS:
            raise UsageError(
                f"encoding template: expected step 1..255, at most {MAX_PIXELS} pixels; got {step}, {height} x {width}"
            )
        levels = image // np.uint8(step)  # (H, W, 3)
        differences = np.diff(levels, axis=1, prepend=np.uint8(0))  # modulo 256
        return _seal(height, width, step, zlib.compress(differences.tobytes(), 6))

    def decode(self, bitstream: bytes) -> Image:
        """The reconstruction, uint8 H x W x 3. Raise BitstreamError with a reason for what cannot be decoded."""
        height, width, step, payload = _open(bitstream)
        expected = height * width * 3
        try:
            raw = zlib.decompressobj().decompress(payload, expected + 1)  # no more than the header says
        except zlib.error as error:
            raise BitstreamError(f"decoding template: {len(payload)} bytes cannot be decompressed: {error}") from error
        if len(raw) != expected:
            raise BitstreamError(f"decoding template: expected {expected} bytes of pixels, got {len(raw)}")
        differences = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
        levels = np.cumsum(differences, axis=1, dtype=np.uint8)
        return np.minimum(levels.astype(np.uint16) * step + step // 2, 255).astype(np.uint8)

    # An encoder that knows its own reconstruction returns it from `encode_with_reconstruction(image, point)`; the
    # harness then checks that the decoder's is the same. A codec whose every prefix decodes subclasses Embedded; one
    # whose rate is set by a real number subclasses VariableRate. Slow loading goes into `prepare()`, timed separately.


def _seal(height: int, width: int, step: int, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(HEADER.pack(MAGIC, height, width, step, 0)))
    return HEADER.pack(MAGIC, height, width, step, crc) + payload


def _open(bitstream: bytes) -> tuple[int, int, int, bytes]:
    """Height, width, step and payload of a complete, undamaged bitstream of this format."""
    if len(bitstream) < HEADER.size or not bitstream.startswith(MAGIC):
        raise BitstreamError(
            f"decoding template: expected a header of {HEADER.size} bytes beginning {MAGIC!r}, got {bitstream[:8]!r}"
        )
    _, height, width, step, _ = HEADER.unpack_from(bitstream)
    payload = bitstream[HEADER.size :]
    if _seal(height, width, step, payload) != bitstream:
        raise BitstreamError("decoding template: the CRC-32 does not match: the bitstream is truncated or corrupt")
    if not 0 < height * width <= MAX_PIXELS or not step:
        raise BitstreamError(
            f"decoding template: expected 1..{MAX_PIXELS} pixels and a step, got {height} x {width}, step {step}"
        )
    return height, width, step, payload


CODECS = [Template()]  # what this file gives; one file may give several codecs
