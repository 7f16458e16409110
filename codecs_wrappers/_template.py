"""How to add a codec: `rdbench new-codec NAME`, then edit codecs_wrappers/NAME.py. No other file changes.

This is a whole, working codec: it divides the pixels by a step, keeps the differences of neighbours and packs them with
zlib. Replace what it does and keep what it promises; tests/test_contract.py holds every codec to these promises:

* the same image and point give the same bytes, and the same bytes the same pixels, in every process;
* ``decode`` needs the bitstream and nothing else: every byte it needs lies on disk and counts as rate;
* any height and width from 1 x 1 up; a damaged bitstream is an error, never a crash or a picture of another size.

Then `python tests/fixtures/make_bitstreams.py NAME` stores a bitstream that later versions must still decode,
`pytest tests/test_contract.py -k NAME` tests it, and `snakemake --cores all` draws its curve beside all others.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from bench.codec import Codec, Image, Parameter, Point, check_image
from bench.errors import BitstreamError, UsageError

# Import what takes long to load (torch, say) inside the methods that need it: each job starts processes of its own.

HEADER = struct.Struct(">8sIIBI")  # magic, height, width, step, CRC-32 of all the rest
MAGIC = b"template"
MAX_PIXELS = 1 << 28  # a lying header must not take the machine's memory


class Template(Codec):
    """One line that says what it is, then settings and sources. Settings belong in ``__init__`` or here."""

    name = "template"  # unique; figures.yaml, the command line and file paths use it: lower case, digits, . _ -
    extension = ".template"  # of its bitstream files
    label = "Template"  # in figures and tables
    description = "pixels divided by a step, differences packed with zlib"  # one line for `rdbench list`

    # The operating points of the RD curve, in order of rising rate. A point has a name and any JSON values.
    points = tuple(Point(f"step{step:02d}", step=step) for step in (96, 64, 48, 32, 24, 16, 12, 8))

    # What a point and `--set` may say, and nothing else: name, type (int, float or str), range, meaning.
    parameters = (Parameter("step", int, (1, 255), "what the pixels are divided by"),)

    # Other members have defaults; set those that apply (bench/codec.py explains each):
    # role = "validation"  for a setting that only reproduces a published curve
    # colour = Colour("bt601", "full", "4:2:0")  if 8-bit RGB is converted: the report prints what that alone costs
    # lossless = True      if the pixels always come back
    # monotone = False     if a later point may cost fewer bits than the one before
    detects_corruption = True  # the format notices every change of its bytes (a CRC), as a format of your own should

    def available(self) -> tuple[bool, str]:
        """Say (False, "why, and what to install") where it cannot run: it is then shown as skipped, not as failed."""
        return True, ""

    def version(self) -> str:
        """Whatever decides the bits, library versions above all: when it changes, this codec is run again."""
        return f"format 1, zlib {zlib.ZLIB_RUNTIME_VERSION}, level 6"

    def encode(self, image: Image, point: Point) -> bytes:
        """The bitstream: exactly what lies on disk. Size and colour order are the codec's own business."""
        image = check_image(image)  # uint8, H x W x 3; grey is repeated, alpha and other types are refused
        height, width = image.shape[:2]
        step = point["step"]
        if not 1 <= step <= 255 or height * width > MAX_PIXELS:
            raise UsageError(f"expected step 1..255 and up to {MAX_PIXELS} pixels, got {step} and {height} x {width}")
        levels = image // np.uint8(step)  # (H, W, 3)
        differences = np.diff(levels, axis=1, prepend=np.uint8(0))  # modulo 256
        return _seal(height, width, step, zlib.compress(differences.tobytes(), 6))

    def decode(self, bitstream: bytes) -> Image:
        """The reconstruction, uint8 H x W x 3. Raise BitstreamError with a reason for what cannot be decoded."""
        height, width, step, payload = _open(bitstream)
        expected = height * width * 3
        try:
            raw = zlib.decompressobj().decompress(payload, expected + 1)  # no more than the header promises
        except zlib.error as error:
            raise BitstreamError(f"the pixels of {len(payload)} bytes cannot be unpacked: {error}") from error
        if len(raw) != expected:
            raise BitstreamError(f"{height} x {width} pixels need {expected} bytes, the bitstream holds {len(raw)}")
        differences = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
        levels = np.cumsum(differences, axis=1, dtype=np.uint8)
        return np.minimum(levels.astype(np.uint16) * step + step // 2, 255).astype(np.uint8)

    # An encoder that knows its own reconstruction returns it from `encode_with_reconstruction(image, point)`: the
    # harness then checks that the decoder's is the same. A codec of which every prefix decodes subclasses Embedded, one
    # whose rate follows one real number VariableRate. What takes long to load goes into `prepare()`, timed apart.


def _seal(height: int, width: int, step: int, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(HEADER.pack(MAGIC, height, width, step, 0)))
    return HEADER.pack(MAGIC, height, width, step, crc) + payload


def _open(bitstream: bytes) -> tuple[int, int, int, bytes]:
    """Height, width, step and payload of a whole, undamaged bitstream of this format."""
    if len(bitstream) < HEADER.size or not bitstream.startswith(MAGIC):
        raise BitstreamError(f"expected a header of {HEADER.size} bytes beginning {MAGIC!r}, got {bitstream[:8]!r}")
    _, height, width, step, _ = HEADER.unpack_from(bitstream)
    payload = bitstream[HEADER.size :]
    if _seal(height, width, step, payload) != bitstream:
        raise BitstreamError("its CRC-32 does not fit: the bitstream is truncated or damaged")
    if not 0 < height * width <= MAX_PIXELS or not step:
        raise BitstreamError(f"expected 1..{MAX_PIXELS} pixels and a step, got {height} x {width}, step {step}")
    return height, width, step, payload


CODECS = [Template()]  # what this file gives; one file may give several codecs
