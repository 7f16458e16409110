"""SPIHT: any size, every prefix, quality targets on Kodak, streams that are wrong."""

from __future__ import annotations

import ast
import hashlib
import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from bench.codec import Point
from bench.discovery import load
from bench.errors import BitstreamError, UsageError
from codecs_wrappers.native.spiht import bits, codec
from codecs_wrappers.native.spiht.header import MAX_PIXELS, Header, levels_for, parse

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "codecs_wrappers" / "native" / "spiht"
KODAK = sorted((ROOT.parent / "shared" / "datasets" / "kodak").glob("*.png"))
EVERYTHING = 2 * 10**6  # more bytes than any stream here needs
ARITHMETIC = pytest.mark.parametrize("arithmetic", [True, False], ids=["arithmetic", "uncoded"])
SIZES = [(1, 1), (1, 2), (2, 2), (3, 5), (17, 33), (33, 17), (1, 300), (300, 1), (63, 65), (129, 200), (511, 769)]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Gradients, edges and noise (uint8, H x W x 3)."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 6, (height, width))
    planes = (3 * x + y) % 256, 40 + 150 * ((x // 7 + y // 5) % 2), 128 + 60 * np.sin(x / 9) + noise
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2)))


@ARITHMETIC
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_whole_stream_gives_back_every_sample_within_one_at_any_size(height, width, arithmetic):
    image = picture(height, width)
    decoded = codec.decode(codec.encode(image, EVERYTHING, arithmetic))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).max() <= 1


@ARITHMETIC
@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_colour_is_exact_and_costs_next_to_nothing(value, arithmetic):
    image = np.full((64, 96, 3), value, np.uint8)
    stream = codec.encode(image, EVERYTHING, arithmetic)
    assert np.array_equal(codec.decode(stream), image)
    assert len(stream) < 250


@pytest.mark.slow
@ARITHMETIC
def test_every_byte_prefix_decodes_and_more_bytes_never_look_worse(photographs, arithmetic):
    image = photographs["astronaut"][:48, :65]
    stream = codec.encode(image, EVERYTHING, arithmetic)
    _, header = parse(stream)
    quality_db = []
    for length in range(header, len(stream) + 1, 7):
        decoded = codec.decode(stream[:length])
        assert decoded.shape == image.shape
        quality_db.append(psnr_db(image, decoded))
    assert quality_db[-1] > 50
    lossy_db = np.array([value for value in quality_db if value < 45])  # above, single samples decide
    assert np.diff(lossy_db).min() > -0.15  # a refined pixel may come to lie a little worse than at the old middle
    assert np.diff(lossy_db[::8]).min() > 0  # but not over 56 bytes


@pytest.mark.parametrize("name", ["spiht", "spiht_bu"])
def test_points_are_prefixes_of_one_stream_within_their_rate_with_rising_quality(photographs, name):
    wrapper, image = load(name), photographs["coffee"]
    stream = wrapper.encode_full(image)
    quality_db = []
    for point in wrapper.points:
        part = wrapper.truncate(stream, point)
        assert stream.startswith(part)
        assert part == wrapper.encode(image, point)
        assert 8 * len(part) / image[..., 0].size == pytest.approx(point["bpp"], abs=8 / image[..., 0].size)
        assert 8 * len(part) <= point["bpp"] * image[..., 0].size + 1e-6
        quality_db.append(psnr_db(image, wrapper.decode(part)))
    assert [point.name for point in wrapper.points[::19]] == ["bpp0.10", "bpp2.00"]
    assert np.diff(quality_db).min() > 0


def test_a_picture_too_small_for_its_rate_still_gets_a_header():
    wrapper = load("spiht")
    stream = wrapper.encode_full(picture(1, 1))
    part = wrapper.truncate(stream, Point("least", bpp=0.1))
    assert wrapper.decode(part).shape == (1, 1, 3)


def test_the_arithmetic_coder_beats_plain_bits_and_keeps_up_with_jpeg_2000(photographs):
    for image in photographs.values():
        buffer = io.BytesIO()
        settings = {"irreversible": True, "mct": 1, "no_jp2": True, "quality_mode": "rates", "quality_layers": [24.0]}
        PillowImage.fromarray(image).save(buffer, "JPEG2000", **settings)
        jpeg2000_db = psnr_db(image, np.asarray(PillowImage.open(buffer)))
        coded_db, plain_db = (
            psnr_db(image, codec.decode(codec.encode(image, len(buffer.getvalue()), kind))) for kind in (True, False)
        )
        assert coded_db > plain_db + 0.2
        assert coded_db > jpeg2000_db - 0.3


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not KODAK, reason="needs ../shared beside the checkout")
@pytest.mark.parametrize(
    ("name", "targets_db"),
    [("spiht", {0.1: 26.09, 0.5: 31.87, 2.0: 40.40}), ("spiht_bu", {0.1: 25.37, 0.5: 31.30, 2.0: 39.82})],
)
def test_kodak_means_reach_the_targets(name, targets_db):
    wrapper = load(name)
    quality_db = []
    for path in KODAK:
        image = np.asarray(PillowImage.open(path).convert("RGB"))
        stream = wrapper.encode_full(image)
        points = (Point("rate", bpp=bpp) for bpp in targets_db)
        quality_db.append([psnr_db(image, wrapper.decode(wrapper.truncate(stream, point))) for point in points])
    for mean_db, target_db in zip(np.mean(quality_db, axis=0), targets_db.values(), strict=True):
        assert mean_db > target_db - 0.05


def test_grey_pictures_spend_nearly_nothing_on_their_empty_colour_planes(photographs):
    colour = photographs["astronaut"]
    grey = np.repeat(colour.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    half_db = psnr_db(grey, codec.decode(codec.encode(grey, grey[..., 0].size // 16, True)))
    assert half_db > psnr_db(colour, codec.decode(codec.encode(colour, colour[..., 0].size // 16, True))) + 0.5
    decoded = codec.decode(codec.encode(grey, grey[..., 0].size // 16, True)).astype(int)
    assert np.ptp(decoded, axis=2).max() <= 1


# One stream of each kind as format 1 made it on 2026-11-21, of picture(16, 24): a change of these is a new format.
STORED = {
    True: (
        "5350114c10187bf00257c02ad19f50cd8e5a9026e8c0809543ece4c74051193bc0b9e0ac45e5a8074884c4d6f32d41149ad030e7121574af2cb5b9326c85a1a0",
        "29baaf8ea7f079ddc633d01cd7d0512bc4881c8b721421a1a5321b88d64df81b",
    ),
    False: (
        "5350104c10186df0000f0080000000000000000000000006f31e1a8aaa8a28a3cff3cc78500110000000000000f643a2abdfff98622120ba41d232c008c02c00",
        "b0fdcfdb37a5370a9746023d3a99f0815847853a2350d5a845d6c3485c39c1d8",
    ),
}


@ARITHMETIC
def test_the_format_is_the_one_of_the_stored_streams(arithmetic):
    stored, pixels = STORED[arithmetic]
    assert codec.encode(picture(16, 24), 64, arithmetic).hex() == stored
    assert hashlib.sha256(codec.decode(bytes.fromhex(stored)).tobytes()).hexdigest() == pixels


def test_another_process_gets_the_same_bytes_and_pixels_and_the_wrapper_imports_without_numba(photographs, tmp_path):
    image = photographs["coffee"]
    np.save(tmp_path / "image.npy", image)
    script = (
        "import sys, hashlib, numpy as np; from codecs_wrappers.spiht import CODECS; assert 'numba' not in sys.modules;"
        "s = [c.encode_full(np.load(sys.argv[1])) for c in CODECS];"
        "print(*[hashlib.sha256(x).hexdigest() for c, t in zip(CODECS, s) for x in (t, c.decode(t).tobytes())])"
    )
    here = []
    for wrapper in (load("spiht"), load("spiht_bu")):
        stream = wrapper.encode_full(image)
        assert stream == wrapper.encode_full(image.copy())
        here += [hashlib.sha256(x).hexdigest() for x in (stream, wrapper.decode(stream).tobytes())]
    command = [sys.executable, "-c", script, tmp_path / "image.npy"]
    assert subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split() == here


# The range coder


def code_symbols(symbols: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    data = np.zeros(len(symbols) + 64, np.uint8)
    models = bits.new_models(4)
    registers = bits.start(data, bits.ENCODING + bits.ARITHMETIC, len(symbols))
    for context, symbol in zip(contexts, symbols, strict=True):
        bits.decide(registers, data, models, context, symbol)
    return data[: bits.finish(registers, data)]


def decode_symbols(data: np.ndarray, contexts: np.ndarray) -> list[int]:
    models = bits.new_models(4)
    registers = bits.start(data, bits.ARITHMETIC, len(data))
    decoded = []
    for context in contexts:
        symbol = bits.decide(registers, data, models, context, 0)
        if symbol == bits.STOP:
            break
        decoded.append(int(symbol))
    return decoded


def test_a_prefix_of_the_range_coder_gives_exactly_the_symbols_that_all_its_continuations_share():
    rng = np.random.default_rng(5)
    contexts = rng.integers(-1, 4, 300)
    symbols = (rng.random(300) < np.array([0.02, 0.3, 0.7, 0.99, 0.5])[contexts]).astype(np.int64)
    data = code_symbols(symbols, contexts)
    assert decode_symbols(data, contexts) == list(symbols)
    for length in range(len(data)):
        known = decode_symbols(data[:length].copy(), contexts)
        assert known == list(symbols[: len(known)])
        low, high = (
            decode_symbols(np.concatenate([data[:length], np.full(8, fill, np.uint8)]), contexts) for fill in (0, 255)
        )
        shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
        assert len(known) == shared


def test_carries_run_through_bytes_of_255():
    contexts = np.zeros(4000, np.int64)
    for seed in range(20):  # runs of improbable symbols push LOW to the top again and again
        symbols = (np.random.default_rng(seed).random(4000) < 0.97).astype(np.int64)
        assert decode_symbols(code_symbols(symbols, contexts), contexts) == list(symbols)


# Streams that are wrong


def test_each_cut_of_the_header_is_named():
    stream = codec.encode(picture(20, 300), EVERYTHING, True)
    _, length = parse(stream)
    for cut in range(length):
        with pytest.raises(BitstreamError, match=r"empty|inside the header"):
            codec.decode(stream[:cut])
    assert codec.decode(stream[:length]).shape == (20, 300, 3)


def test_every_changed_header_byte_is_an_error():
    stream = codec.encode(picture(20, 300), EVERYTHING, True)
    _, length = parse(stream)
    for at in range(length):
        for bit in range(8):
            broken = bytearray(stream)
            broken[at] ^= 1 << bit
            with pytest.raises(BitstreamError):
                codec.decode(bytes(broken))


@pytest.mark.parametrize(("height", "width"), [(1 << 15, 1 << 16), (MAX_PIXELS + 1, 1), (1 << 27, 1 << 27), (0, 5)])
def test_a_header_that_claims_too_much_is_refused_by_name_at_once(height, width):
    started = time.perf_counter()
    with pytest.raises(BitstreamError, match=str(height * width) + " pixels"):
        codec.decode(Header(height, width, levels_for(height, width), 10, True).pack() + bytes(100))
    assert time.perf_counter() - started < 0.5


def test_too_large_a_picture_is_refused_before_any_work():
    image = np.broadcast_to(np.uint8(7), (1, MAX_PIXELS + 1, 3))
    with pytest.raises(UsageError, match="tile it"):
        load("spiht").encode_full(image)


@pytest.mark.slow
def test_2000_mutated_files_of_each_kind_give_an_error_or_a_picture_of_the_right_size():
    """Flips, cuts, insertions and random payloads; the header is struck in one file of four."""
    image = picture(23, 30)
    for arithmetic in (True, False):
        stream = codec.encode(image, EVERYTHING, arithmetic)
        _, header = parse(stream)
        decoded = refused = 0
        for seed in range(2000):
            rng = np.random.default_rng([seed, arithmetic])
            broken = bytearray(stream)
            first, last = (0, header) if seed % 4 == 0 else (header, len(stream))
            for _ in range(rng.integers(1, 6)):
                broken[rng.integers(first, last)] = rng.integers(256)
            if seed % 3 == 0:
                del broken[rng.integers(first, len(broken)) :]
            if seed % 5 == 0:
                broken[header:] = rng.integers(0, 256, rng.integers(0, 2000), np.uint8).tobytes()
            if seed % 7 == 0:
                at = rng.integers(first, len(broken) + 1)
                broken[at:at] = rng.integers(0, 256, 9, np.uint8).tobytes()
            started = time.process_time()
            try:
                shape = codec.decode(bytes(broken)).shape
            except BitstreamError:
                refused += 1
            else:
                assert shape == image.shape
                decoded += 1
            assert time.process_time() - started < 2
        assert decoded > 1400
        assert refused > 200


@ARITHMETIC
@pytest.mark.parametrize("fill", [0, 255, None])
def test_endless_payloads_end(arithmetic, fill):
    rng = np.random.default_rng(1)
    payload = rng.integers(0, 256, 400_000, np.uint8) if fill is None else np.full(400_000, fill, np.uint8)
    header = Header(130, 97, levels_for(130, 97), 24, arithmetic).pack()
    assert codec.decode(header + payload.tobytes()).shape == (130, 97, 3)


# Memory, and the compiler's cache


@pytest.mark.slow
def test_memory_stays_under_40_bytes_a_pixel():
    script = """
import sys, numpy as np
from codecs_wrappers.native.spiht import codec
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
rng = np.random.default_rng(0)
image = np.repeat(np.repeat(rng.integers(0, 256, (256, 256, 3), np.uint8), 6, 0), 6, 1)
image ^= rng.integers(0, 8, image.shape, np.uint8)
small = codec.encode(image[:64, :64], 1000, True)
codec.decode(small)
stream = None
for work in (lambda: codec.encode(image, image[..., 0].size // 4, True), lambda: codec.decode(stream)):
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    stream = work()
    print((status("VmHWM") - before) / image[..., 0].size)
"""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's /proc/self/clear_refs")
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    used = [float(line) for line in done.stdout.split()]
    assert len(used) == 2
    assert 8 < min(used) <= max(used) < 40


def test_cached_functions_call_nothing_outside_their_file_for_numba_would_not_notice_a_change():
    checked = 0
    for path in sorted(PACKAGE.glob("*.py")):
        if path.name == "kernels.py":  # keyed by all sources
            continue
        tree = ast.parse(path.read_text())
        siblings = [node for node in tree.body if isinstance(node, ast.ImportFrom) and "spiht" in (node.module or "")]
        foreign = {alias.asname or alias.name for node in siblings for alias in node.names}
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        reached = [
            n for n, node in functions.items() if any("cache=True" in ast.unparse(d) for d in node.decorator_list)
        ]
        for name in reached:
            body = ast.Module(functions[name].body, [])
            used = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
            assert not used & foreign, f"{path.name}: {name} uses {used & foreign}"
            reached += [other for other in functions if other in used and other not in reached]
            checked += 1
    assert checked >= 8
