"""What every wrapper promises (bench/codec.py, DESIGN.md section 4), held against every wrapper that discovery finds.

`pytest tests/test_contract.py -k NAME` is the test of one codec. A codec that is not available here is skipped with its
own reason.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from bench.author.newcodec import create
from bench.codec import Codec, Embedded, Point
from bench.discovery import codecs, discover, module_of
from bench.errors import BitstreamError, UsageError
from bench.files import sha256, sha256_pixels
from bench.run.codec_state import code_sha256

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures" / "bitstreams"
CODECS: dict[str, Codec] = codecs() | {c.name: c for c in importlib.import_module("codecs_wrappers._template").CODECS}
NETWORKS = ("mean_scale", "resgdn")  # that `make test` tests; stanh and plonq have test files of their own
BUDGET_S = 4.0  # of one codec's RD curve; a slow codec is tested at fewer points


AVAILABLE = [name for name, codec in CODECS.items() if codec.available()[0]]


def _first_of_its_kind(name: str) -> bool:
    """Whether no earlier codec is of the same class and differs by its weights alone: the same code, tested once."""

    def kind(other: str) -> tuple[Any, ...]:
        codec = CODECS[other]
        return type(codec), getattr(codec, "seed", None), "" if codec.weights_digest() else other

    return next(other for other in AVAILABLE if kind(other) == kind(name)) == name


def is_slow(name: str) -> bool:
    """Whether a codec's tests are left to `make test-all`: most networks, and all but one codec of a class."""
    if CODECS[name].weights_digest():
        return name not in NETWORKS
    return name == "vvc420" or name != next(other for other in AVAILABLE if type(CODECS[other]) is type(CODECS[name]))


def each(names: list[str]) -> list[Any]:
    """Parameters for ``codec``. All tests of one codec run in one process (conftest.py), which keeps what is shared."""
    return [pytest.param(name, marks=[pytest.mark.slow] if is_slow(name) else []) for name in names]


FIRST = [name for name in AVAILABLE if _first_of_its_kind(name)]
EMBEDDED = [name for name in FIRST if isinstance(CODECS[name], Embedded)]
WITH_WEIGHTS = [name for name in FIRST if CODECS[name].weights_digest()]
CHECKED = [name for name in FIRST if CODECS[name].detects_corruption]


@pytest.fixture(params=each(FIRST))
def codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec, but those that differ from an earlier one by their weights alone."""
    return CODECS[request.param]


@pytest.fixture(params=each(AVAILABLE))
def any_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec, for what depends on its weights."""
    return CODECS[request.param]


@cache
def photograph(height: int = 256, width: int = 256) -> np.ndarray:
    """A part of a real photograph (uint8, H x W x 3), mirrored where it is too small. Read-only."""
    coffee = data.coffee()[60:, 120:]
    missing = [max(0, wanted - there) for wanted, there in zip((height, width), coffee.shape, strict=False)]
    image = np.pad(coffee, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")[:height, :width].copy()
    image.setflags(write=False)  # an encoder that writes into its input fails
    return image


@cache
def curve(name: str) -> dict[str, bytes]:
    """Bitstreams of the photograph by point, in point order: the ends first, then as many as the time allows."""
    codec, start = CODECS[name], time.perf_counter()
    count = len(codec.points)
    order = dict.fromkeys([count // 2, 0, count - 1, *range(count)])
    made: dict[int, bytes] = {}
    for index in order:
        if len(made) >= 3 and time.perf_counter() - start > BUDGET_S:
            break
        made[index] = codec.encode(photograph(), codec.points[index])
    return {codec.points[index].name: made[index] for index in sorted(made)}


def middle(codec: Codec) -> bytes:
    return curve(codec.name)[codec.points[len(codec.points) // 2].name]


def squared_error(pixels: np.ndarray) -> float:
    return float(np.mean((pixels.astype(float) - photograph()) ** 2))


# What a codec says of itself


def test_every_wrapper_can_be_imported():
    assert {wrapper.module: wrapper.error for wrapper in discover() if wrapper.error} == {}


def test_names_and_labels_are_unique_and_extensions_begin_with_a_dot():
    found = [codec for wrapper in discover() for codec in wrapper.codecs]
    for values in ([codec.name for codec in found], [codec.label or codec.name for codec in found]):
        assert len(set(values)) == len(values), sorted(values)
    assert all(re.fullmatch(r"\.[a-z0-9_]+", codec.extension) for codec in found)


@pytest.mark.parametrize("module", sorted({type(codec).__module__ for codec in CODECS.values()}))
def test_every_codec_class_of_a_module_is_given(module):
    given = [codec for codec in CODECS.values() if type(codec).__module__ == module]
    classes = [c for _, c in inspect.getmembers(sys.modules[module], inspect.isclass) if c.__module__ == module]
    missing = [c.__name__ for c in classes if issubclass(c, Codec) and not any(isinstance(g, c) for g in given)]
    assert missing == [], f"not in CODECS of {module}"


@pytest.mark.parametrize("name", CODECS)
def test_the_wrapper_file_that_gives_a_codec_is_known_and_its_code_hashed(name):
    """Its class may lie elsewhere; the hash of the wrong file, or of nothing, would keep stale results in the cache."""
    assert any(given is CODECS[name] for given in importlib.import_module(module_name(CODECS[name])).CODECS)
    assert code_sha256(module_of(CODECS[name])) != sha256(b"")


def module_name(codec: Codec) -> str:
    """The import name of a codec's wrapper module: a file's, or an installed package's."""
    return module_of(codec).partition(":")[2] or f"codecs_wrappers.{module_of(codec)}"


@pytest.mark.parametrize("name", CODECS)
def test_version_is_not_empty_and_unavailable_says_why(name):
    codec = CODECS[name]
    available, reason = codec.available()
    assert codec.role in ("codec", "lossless", "control", "validation")
    if not available:
        assert len(reason.strip()) > 5
        pytest.skip(f"{name} is not available here, so nothing else is tested of it: {reason}")
    assert codec.version().strip() and codec.version() == codec.version()


# What goes in


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (200, 3), (511, 769)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_any_size_comes_back_as_uint8_of_that_size(codec, size):
    middle = len(codec.points) // 2
    for index in {middle} if size[0] * size[1] > 10_000 else {0, len(codec.points) - 1}:
        pixels = codec.decode(codec.encode(photograph(*size), codec.points[index]))
        assert (pixels.shape, pixels.dtype) == ((*size, 3), np.uint8)


def test_grey_is_coded_as_three_equal_channels(codec):
    grey = photograph(40, 56)[..., 1]
    point = codec.points[-1]
    expected = codec.encode(np.repeat(grey[..., None], 3, axis=2), point)
    assert codec.encode(grey, point) == expected
    assert codec.encode(grey[..., None], point) == expected
    assert codec.decode(expected).shape == (40, 56, 3)


def test_a_view_with_strides_is_coded_as_its_copy(codec):
    view = photograph(40, 56)[::-1, ::2]
    assert codec.encode(view, codec.points[0]) == codec.encode(view.copy(), codec.points[0])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((16, 16, 4), np.uint8), "alpha"),
        (np.zeros((16, 16, 2), np.uint8), "alpha"),
        (np.zeros((16, 16, 3), np.float32), "uint8.*float32"),
        (np.zeros((16, 16, 3), np.uint16), "uint8.*uint16"),
        (np.zeros((0, 16, 3), np.uint8), "0 x 16 x 3"),
        (np.zeros((16, 16, 5), np.uint8), "16 x 16 x 5"),
        (np.zeros((2, 16, 16, 3), np.uint8), "2 x 16 x 16 x 3"),
    ],
    ids=["rgba", "grey with alpha", "float", "16 bit", "empty", "5 channels", "batch"],
)
def test_what_is_no_rgb_image_is_refused_with_a_clear_error_before_a_codec_sees_it(image, message):
    class Careless(Codec):
        def encode(self, image, point):
            return b"x"

        def encode_with_reconstruction(self, image, point):
            return b"x", None

    class CarelessEmbedded(Embedded):
        def encode_full(self, image):
            return b"x"

        def truncate(self, bitstream, point):
            return bitstream

    calls = [Careless().encode, Careless().encode_with_reconstruction, CarelessEmbedded().encode]
    for call in [*calls, lambda image, _: CarelessEmbedded().encode_full(image)]:
        with pytest.raises(UsageError, match=message):
            call(image, Point("p"))


def test_an_image_with_alpha_is_refused_by_every_codec(codec):
    with pytest.raises(UsageError, match="alpha"):
        codec.encode(np.zeros((16, 16, 4), np.uint8), codec.points[0])


# Rate and distortion


def test_rate_rises_over_the_points(any_codec):
    codec = any_codec
    sizes = {name: len(bitstream) for name, bitstream in curve(codec.name).items()}
    if isinstance(codec, Embedded):  # points beyond the whole stream are saturated, and equal
        whole = len(codec.encode_full(photograph()))
        sizes = dict([*(item for item in sizes.items() if item[1] < whole), ("whole", whole)])
    if codec.monotone:
        assert list(sizes.values()) == sorted(set(sizes.values())), sizes
    else:
        assert min(sizes.values()) > 0


def test_quality_rises_from_the_first_point_to_the_last_and_colours_keep_their_order(any_codec):
    codec = any_codec
    bitstreams = list(curve(codec.name).values())
    first, last = (codec.decode(bitstream) for bitstream in (bitstreams[0], bitstreams[-1]))
    assert len(bitstreams) == 1 or squared_error(last) < squared_error(first)
    assert squared_error(last) < squared_error(last[..., ::-1])
    assert not codec.lossless or squared_error(last) == 0


@pytest.mark.parametrize("codec", each(EMBEDDED), indirect=True)
def test_a_rate_target_of_an_embedded_codec_is_kept_and_gives_a_prefix(codec):
    full = codec.encode_full(photograph())
    for point in codec.points:
        prefix = codec.truncate(full, point)
        assert full.startswith(prefix)
        if "bpp" in point.parameters:
            assert 8 * len(prefix) <= point["bpp"] * 256 * 256 or len(prefix) == len(full)
        if point.name in curve(codec.name):
            assert prefix == curve(codec.name)[point.name]


# The same bits and pixels every time


def test_the_same_image_gives_the_same_bytes_whatever_was_coded_between(codec):
    for point in (codec.points[0], codec.points[-1]):
        codec.encode(photograph(33, 17), codec.points[0])
        assert codec.encode(photograph(), point) == curve(codec.name)[point.name]


def test_the_same_bytes_give_the_same_pixels_as_the_encoder_says(codec):
    bitstream, own = codec.encode_with_reconstruction(photograph(), codec.points[-1])
    pixels = codec.decode(bitstream)
    codec.decode(curve(codec.name)[codec.points[0].name])
    assert np.array_equal(codec.decode(bitstream), pixels)
    assert own is None or np.array_equal(own, pixels)


@pytest.mark.slow
@pytest.mark.parametrize("codec", each(WITH_WEIGHTS), indirect=True)
def test_a_codec_with_a_network_gives_its_own_reconstruction_of_images_larger_than_its_tiles(codec):
    """1100 pixels: two tiles. Tiles that lie differently in memory were once rounded differently."""
    blocks = np.random.default_rng(0).integers(0, 256, (25, 138, 3))
    image = np.kron(blocks, np.ones((8, 8, 1), int))[:200, :1100].astype(np.uint8)
    image.setflags(write=False)
    every = codec.name in ("resgdn_base", "resgdn", "resgdn_allocated")  # where it showed at some points only
    for point in codec.points if every else (codec.points[0], codec.points[-1]):
        bitstream, own = codec.encode_with_reconstruction(image, point)
        assert own is not None, "without, the two-process check of a run has nothing to compare"
        assert np.array_equal(codec.decode(bitstream), own), point.name


def test_a_fresh_process_encodes_to_the_same_bytes_and_decodes_to_the_same_pixels(codec):
    for name in ends(codec):
        bitstream = curve(codec.name)[name]
        assert outcomes(codec.name, "whole")[name]["pixels"] == sha256_pixels(codec.decode(bitstream))
        assert outcomes(codec.name, "encoded")[name]["bytes"] == sha256(bitstream)


# Damage


def test_a_damaged_bitstream_is_an_error_or_a_picture_of_the_right_size(codec):
    damaged, found = damaged_streams(codec), outcomes(codec.name, "damaged")
    assert len(found) >= 15  # a very slow decoder is stopped when its time is over
    peak_mib = max(outcome["peak_rss_mib"] for outcome in found.values())
    assert peak_mib < 3000, f"a damaged bitstream took {peak_mib:.0f} MiB"
    for name, outcome in found.items():
        what, _ = damaged[name]
        if codec.detects_corruption and not (isinstance(codec, Embedded) and what.startswith("cut")):
            assert outcome.get("error") == "BitstreamError", (name, outcome)
        elif what.startswith("foreign"):
            assert "error" in outcome, (name, outcome)
        elif "error" not in outcome:
            assert outcome["dtype"] == "uint8" and outcome["shape"][2:] == [3], (name, outcome)
            if what != "changed header":  # which may say another size and mean it
                assert outcome["shape"] == [256, 256, 3], (name, outcome)
        assert outcome.get("error") != "BitstreamError" or len(outcome["message"]) > 10, (name, outcome)


@pytest.mark.parametrize("codec", each(EMBEDDED), indirect=True)
def test_every_prefix_of_an_embedded_bitstream_decodes(codec):
    found = outcomes(codec.name, "prefixes")
    decoded = sorted(int(n) for n, outcome in found.items() if "error" not in outcome)
    header = decoded[0]
    assert header <= 40, "a prefix may be refused only while the header, which has the size, is not complete"
    assert decoded == [n for n in sorted(map(int, found)) if n >= header]
    assert all(found[str(n)]["shape"] == [24, 40, 3] for n in decoded)
    assert {o["error"] for o in found.values() if "error" in o} <= {"BitstreamError"}


@pytest.mark.slow
@pytest.mark.parametrize("codec", each(CHECKED), indirect=True)
def test_every_single_bit_flip_in_a_bitstream_of_a_checked_format_is_found(codec):
    """All of them: random ones missed those in the last bytes, whose change may leave every symbol as it was."""
    bitstream = codec.encode(photograph(8, 8), codec.points[0])
    assert len(bitstream) < 400
    accepted = []
    for bit in range(8 * len(bitstream)):
        changed = bytearray(bitstream)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            codec.decode(bytes(changed))
        except BitstreamError:
            continue
        accepted.append(bit)
    assert accepted == []


def damage(codec: Codec, bitstream: bytes):
    """Damaged variants of ``bitstream``, each with a word: "cut", "changed header", "changed", "longer", "foreign"."""
    random = np.random.default_rng(5)
    size = len(bitstream)
    for length in sorted({0, 1, 3, 7, 12, size // 4, size // 2, size - 9, size - 1} & set(range(size))):
        yield "cut", bitstream[:length]
    header = min(200, size // 2)
    for kind, low, high, count in (("changed header", 0, header, 40), ("changed", max(header, size // 2), size, 20)):
        for position in random.integers(low, high, count):
            changed = bytearray(bitstream)
            changed[position] ^= 1 << random.integers(8) if random.integers(2) else 255
            yield kind, bytes(changed)
    for position in range(0, min(48, size - 4), 2):  # wherever a size stands, it now claims gigapixels
        yield "changed header", bitstream[:position] + b"\xff\xff\xff\xff" + bitstream[position + 4 :]
    yield "longer", bitstream + bytes(5)
    yield "foreign", b"this is no bitstream, but a sentence that someone saved under its name\n" * 3
    yield "foreign", random.bytes(500)
    yield "foreign", bytes(500)
    family = {c.name for c in CODECS.values() if module_of(c) == module_of(codec)}
    for name, entry in json.loads((FIXTURES / "index.json").read_text()).items():
        if name not in family and Path(entry["file"]).suffix != codec.extension:
            yield "foreign", (FIXTURES / entry["file"]).read_bytes()


def ends(codec: Codec) -> list[str]:
    return list(dict.fromkeys([codec.points[0].name, codec.points[-1].name]))


def damaged_streams(codec: Codec) -> dict[str, tuple[str, bytes]]:
    """Name -> kind of damage and bitstream."""
    return {
        f"{i}: {what}": (what, bitstream)
        for i, (what, bitstream) in enumerate(damage(codec, middle(codec)))
        if bitstream != middle(codec)
    }


def prefixes(codec: Embedded) -> dict[str, bytes]:
    """Length -> prefix: every one of the first 300 bytes, then every seventh."""
    full = codec.encode_full(photograph(24, 40))
    lengths = {*range(min(300, len(full))), *range(300, len(full), 7), len(full)}
    return {str(n): full[:n] for n in sorted(lengths)}


CHILD_PROGRAM = """
import importlib, json, sys, time
from pathlib import Path
import numpy as np
from bench.files import sha256, sha256_pixels
from bench.run.worker import _peak_rss_mib  # this program's own, where ru_maxrss has the parent's
folder, module, name, encode = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
codec = next(c for c in importlib.import_module(module).CODECS if c.name == name)
codec.prepare()  # loading is not what the time below is for
def say(key, **outcome):
    print(json.dumps({"key": key, "peak_rss_mib": _peak_rss_mib(), **outcome}), flush=True)
for point in encode:
    say(f"encoded/{point}", bytes=sha256(codec.encode(np.load(folder / "image.npy"), codec.point(point))))
for group in ("whole", "damaged", "prefixes"):
    start = time.perf_counter()
    for path in sorted((folder / group).glob("*.bin")):
        if group != "whole" and time.perf_counter() - start > 20:
            break
        key = f"{group}/{path.stem}"
        print(json.dumps({"begin": key}), flush=True)
        try:
            pixels = codec.decode(path.read_bytes())
            say(key, pixels=sha256_pixels(pixels), shape=pixels.shape, dtype=str(pixels.dtype))
        except Exception as error:
            say(key, error=type(error).__name__, message=str(error))
"""


def outcomes(name: str, group: str) -> dict[str, dict[str, Any]]:
    """What the bitstreams of a group ("encoded", "whole", "damaged", "prefixes") came to in another process."""
    return in_a_fresh_process(name)[group]


@cache
def in_a_fresh_process(name: str) -> dict[str, dict[str, dict[str, Any]]]:
    """group -> name -> hash and shape, or error, of all that is tested apart, in one process for each codec.

    A very slow decoder is stopped when its time is over; a crash or hang fails.
    """
    codec = CODECS[name]
    groups: dict[str, dict[str, bytes]] = {
        "whole": {point: curve(name)[point] for point in ends(codec)},
        "damaged": {key: bitstream for key, (_, bitstream) in damaged_streams(codec).items()},
        "prefixes": prefixes(codec) if isinstance(codec, Embedded) else {},
    }
    names: dict[str, tuple[str, str]] = {f"encoded/{point}": ("encoded", point) for point in ends(codec)}
    with tempfile.TemporaryDirectory() as folder:
        for group, streams in groups.items():
            Path(folder, group).mkdir()
            for i, (key, bitstream) in enumerate(streams.items()):
                Path(folder, group, f"{i:05}.bin").write_bytes(bitstream)
                names[f"{group}/{i:05}"] = group, key
        np.save(Path(folder, "image.npy"), photograph())
        command = [
            sys.executable,
            "-c",
            CHILD_PROGRAM,
            folder,
            module_name(codec),
            name,
            *ends(codec),
        ]
        with open(Path(folder, "out"), "w") as out, open(Path(folder, "err"), "w") as err:
            try:
                code: Any = subprocess.run(
                    [*command, *ends(codec)], cwd=ROOT, stdout=out, stderr=err, timeout=300
                ).returncode
            except subprocess.TimeoutExpired:
                code = "none: it hung"
        lines = [json.loads(line) for line in Path(folder, "out").read_text().splitlines() if line.startswith("{")]
        errors = Path(folder, "err").read_text()[-1500:]
    begun = [names[line["begin"]] for line in lines if "begin" in line]
    assert code == 0, f"exit status {code} at {begun[-1:] or 'the start'}: {errors}"
    found: dict[str, dict[str, dict[str, Any]]] = {"encoded": {}, **{group: {} for group in groups}}
    for line in lines:
        if "key" in line:
            group, key = names[line["key"]]
            found[group][key] = line
    return found


# Stored bitstreams


def test_a_stored_bitstream_still_decodes_to_the_stored_pixels(any_codec):
    codec = any_codec
    index = json.loads((FIXTURES / "index.json").read_text())
    assert codec.name in index, f"no stored bitstream: run python tests/fixtures/make_bitstreams.py {codec.name}"
    entry = index[codec.name]
    again = f"its weights were replaced: run python tests/fixtures/make_bitstreams.py {codec.name}"
    assert entry.get("weights_sha256", "") == codec.weights_digest(), again
    pixels = codec.decode((FIXTURES / entry["file"]).read_bytes())
    if sha256_pixels(pixels) != entry["pixels_sha256"]:
        assert entry["tolerance"], f"other pixels than {entry['version']} gave; now {codec.version()}"
        stored = np.asarray(Image.open(FIXTURES / f"{codec.name}.pixels.png")).astype(int)
        assert np.abs(pixels - stored).max() <= entry["tolerance"]


# rdbench new-codec


def test_a_new_codec_is_found_and_keeps_the_whole_contract(tmp_path):
    create("brand_new", tmp_path)
    environment = {**os.environ, "RDBENCH_WRAPPERS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "brand_new and not stored"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) == 17, "every test that takes a codec, once"


@pytest.mark.slow
def test_a_folder_of_wrappers_may_be_named_from_where_one_stands(tmp_path):
    """Workers stand elsewhere."""
    create("near", tmp_path / "wrappers")
    out = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "near", "--out", "near.parquet", "--folder", "run"],
        env={**os.environ, "RDBENCH_WRAPPERS": "wrappers", "RDBENCH_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert out.returncode == 0, out.stderr[-3000:]
    assert set(pd.read_parquet(tmp_path / "near.parquet").status) == {"ok"}


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg_standard", "native", "_template", "Mine", "a-b", "9", "class", "", "../x"]
)
def test_a_new_codec_with_a_taken_or_impossible_name_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="a new codec called"):
        create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_new_codec_never_overwrites(tmp_path):
    path = create("mine", tmp_path)
    path.write_text("hours of work")
    with pytest.raises(UsageError, match="already exists"):
        create("mine", tmp_path)
    assert path.read_text() == "hours of work"


# What single wrappers promise


def test_the_controls_lose_nothing_and_all_but_the_mean():
    image = photograph()
    identity, grey = CODECS["identity"], CODECS["grey"]
    assert np.array_equal(identity.decode(identity.encode(image, identity.points[0])), image)
    bitstream = grey.encode(image, grey.points[0])
    assert len(bitstream) == 19
    assert np.array_equal(grey.decode(bitstream)[0, 0], np.rint(image.mean(axis=(0, 1))))
    assert len(np.unique(grey.decode(bitstream).reshape(-1, 3), axis=0)) == 1


def test_optimised_huffman_tables_change_the_size_of_a_jpeg_and_not_one_pixel():
    plain, optimised = CODECS["jpeg_standard"], CODECS["jpeg"]
    for name in ("q05", "q50", "q95"):
        a, b = curve("jpeg_standard")[name], curve("jpeg")[name]
        assert len(b) < len(a)
        assert np.array_equal(plain.decode(a), optimised.decode(b))


def test_jpeg_2000_meets_its_rate_targets():
    for name in ("jpeg2000", "jpeg2000_53"):
        for point in CODECS[name].points:
            if point.name in curve(name):
                assert 8 * len(curve(name)[point.name]) / 256**2 == pytest.approx(point["bpp"], rel=0.03, abs=0.005)


def test_jpeg_2000_is_coded_by_glymur_here_and_by_pillow_to_the_same_rate_without_it(monkeypatch):
    from codecs_wrappers.native import openjpeg

    codec, point = CODECS["jpeg2000"], CODECS["jpeg2000"].point("1.00bpp")
    assert "through glymur" in codec.version()
    with_glymur = codec.encode(photograph(), point)
    monkeypatch.setattr(openjpeg, "_glymur", lambda: None)
    assert "glymur has no OpenJPEG library here" in codec.version()
    without = codec.encode(photograph(), point)
    assert len(without) == pytest.approx(len(with_glymur), rel=0.02)
    expected = pytest.approx(squared_error(codec.decode(with_glymur)), rel=0.02)
    assert squared_error(codec.decode(without)) == expected


def test_looking_for_openjpeg_leaves_the_environment_as_it_was(monkeypatch):
    from codecs_wrappers.native import openjpeg

    for value in (None, "/somewhere"):
        if value:
            monkeypatch.setenv("XDG_CONFIG_HOME", value)
        else:
            monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        openjpeg._glymur.__wrapped__()
        assert os.environ.get("XDG_CONFIG_HOME") == value


@pytest.mark.shared
@pytest.mark.skipif(not (ROOT.parent / "shared").is_dir(), reason="needs ../shared beside the checkout")
def test_webp_at_method_4_gives_the_sizes_that_compressai_published_for_kodak():
    shared = ROOT.parent / "shared"
    published = json.loads((shared / "reference_curves/compressai__results_image_kodak_webp.json").read_text())[
        "results"
    ]
    images = [np.asarray(Image.open(path)) for path in sorted((shared / "datasets/kodak").glob("*.png"))]
    codec = CODECS["webp_m4"]
    for index in (0, 9):
        bpp = [8 * len(codec.encode(image, codec.points[index])) / (image.size / 3) for image in images]
        assert np.mean(bpp) == pytest.approx(published["bpp"][index], abs=1e-6)


def test_a_wrapper_is_known_by_its_file():
    assert {module_of(codec) for codec in CODECS.values()} >= {"jpeg", "webp", "_template"}
