"""Decoders made of nothing but the pages of docs/formats and the weights' files: the stored bitstreams' pictures."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from formatpages import STREAMS, crc32, fields, python_of
from PIL import Image

from codecs_wrappers.native import bpg, contextcoder

for module in ("torch", "safetensors"):
    pytest.importorskip(module, reason="needs the extra rdbench[learned]")

WEIGHTS = ROOT / "codecs_wrappers" / "learned" / "weights"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """All that the pages of the learned codecs define."""
    return python_of("range-coder.md", "networks.md", "plonq.md", "stanh.md", "context-coder.md")


def tensors(first: bytes) -> dict[str, np.ndarray]:
    """The tensors, float64, of the committed weights whose sha256 begins so."""
    from safetensors.numpy import load_file

    files = WEIGHTS.glob("*.safetensors")
    (path,) = (path for path in files if hashlib.sha256(path.read_bytes()).digest().startswith(first))
    return {name: tensor.astype(np.float64) for name, tensor in load_file(path).items() if tensor.dtype.kind == "f"}


def until_the_end(decoder: Any, tables: Iterator[Any]) -> list[int]:
    """The symbols that the decoder has for these tables."""
    symbols: list[int] = []
    with contextlib.suppress(EOFError):
        for table in tables:
            symbols.append(decoder.symbol(table))
    return symbols


def same_picture(picture: np.ndarray, name: str) -> bool:
    stored = np.asarray(Image.open(STREAMS / f"{name}.pixels.png").convert("RGB")).astype(int)
    return picture.shape == stored.shape and np.abs(picture.astype(int) - stored).max() <= 1


@pytest.mark.parametrize(
    "name",
    [
        "mean_scale",
        "naive_scaling",
        "qsf",
        "nested_dropout",
        "plonq",
        "stanh",
        "stanh_1anchor",
    ],
)
def test_the_stored_bitstream_of_a_latent_is_decoded_by_the_pages(name, page):
    (path,) = STREAMS.glob(f"{name}.[rp][dl]*")
    bitstream = path.read_bytes()
    cut = 24 + bitstream[21] + int.from_bytes(bitstream[17:21], "big") - len(bitstream)  # bytes that a prefix lacks
    header, _ = fields("index.md", 0, bitstream + bytes(cut))
    network, scheme = tensors(header["model"]), header["scheme"]
    levels = tensors(header["parameters"]) if scheme == 5 else {}
    if levels:
        tables = page["level_tables_of_z"](network, levels["z.levels"]), page["level_tables"](levels["y.levels"])
    else:
        tables = page["tables_of_z"](network), page["GAUSSIAN"]
    if scheme != 4:
        digests = page["digest"](tables[1]) + page["digest"](tables[0])
        assert header["tables"] == hashlib.sha256(digests).digest()[:4]

    payload = header["payload"][: len(header["payload"]) - max(0, cut - 4)]
    decoder = page["PrefixDecoder" if cut else "RangeDecoder"](payload)
    shape = (len(tables[0]), -(-header["height"] // 64), -(-header["width"] // 64))
    known = until_the_end(decoder, (table for table in tables[0] for _ in range(shape[1] * shape[2])))
    z = np.zeros(shape, int)
    z.flat[: len(known)] = known
    means, sigma = page["hyper_decode"](network, levels["z.levels"][z + len(levels["z.levels"]) // 2] if levels else z)
    step = np.ones(len(means))
    if scheme == 1:
        step *= struct.unpack(">f", header["parameters"])[0]
    elif scheme == 2:
        step = steps_of_qsf(*struct.unpack(">f", header["parameters"]), len(means))
    indices = [
        page["scale_index"](value, s) for s, channel in zip(step, sigma, strict=True) for value in channel.ravel()
    ]

    if scheme == 4:
        parameters, _ = fields("plonq.md", 0, header["parameters"], **header)
        bins = page["decode_levels"](decoder, indices, parameters["levels"])
        assert None not in bins and any(first < last for first, last in bins)
        values = [page["value"](index, *ends) / 256 for index, ends in zip(indices, bins, strict=True)]
        y = np.reshape(values, means.shape) + means / 256
    else:
        found = until_the_end(decoder, (tables[1][index] for index in indices))
        assert len(found) == len(indices) or cut
        symbols = np.zeros(means.shape, int)
        symbols.flat[: len(found)] = found
        if not cut:
            assert crc32(z, symbols, means, indices) == header["checksum"]
        middle = len(levels["y.levels"]) // 2 if levels else 0
        values = levels["y.levels"][symbols + middle] if levels else symbols * step[:, None, None]
        y = values + means / 256
    assert same_picture(page["synthesise"](network, y, header["height"], header["width"]), name)


def steps_of_qsf(position: float, channels: int) -> np.ndarray:
    """By the words of index.md."""
    import yaml

    entry = yaml.safe_load((WEIGHTS.parent / "weights.yaml").read_text())["qsf"]
    factors = tensors(bytes.fromhex(entry["sha256"]))["factors"]
    low = min(int(position), len(factors) - 2)
    part = position - low
    mean = np.exp(-(1 - part) * np.log(factors[low]) - part * np.log(factors[low + 1]))
    assert mean.shape == (channels,)
    return (np.rint(mean * 4096) / 4096).astype(np.float32)


@pytest.mark.parametrize("name", ["resgdn", "resgdn_base", "resgdn_short_n4"])
def test_the_stored_bitstream_of_a_code_map_is_decoded_by_the_pages(name, page):
    header, layer = fields("index.md", 0, (STREAMS / f"{name}.rdl").read_bytes())
    parameters, _ = fields("resgdn.md", 0, header["parameters"], **header)
    base, _ = fields("resgdn.md", 1, header["payload"])
    assert base["flags"] >> 4 == 1
    levels = page["decode_maps"](base["maps"], base["channels"], base["rows"], base["columns"], parameters["bits"])
    assert crc32(levels.transpose(1, 2, 0), np.frombuffer(header["payload"], np.uint8)) == header["checksum"]
    quantizers = zip(parameters["quantizers"], levels, strict=True)
    code = [np.float32(scale) * (plane - np.float32(zero)) for (scale, zero), plane in quantizers]
    picture = page["resgdn_picture"](tensors(header["model"]), code, header["height"], header["width"])
    assert (parameters["enhancement_bytes"] > 0) == (name != "resgdn_base")
    if layer:
        enhancement, _ = fields("resgdn.md", 2, layer, **parameters)
        low, high = enhancement["low"], enhancement["high"]
        picture = np.clip(picture + np.rint(bpg.decode(enhancement["bpg"]) * ((high - low) / 255)) + low, 0, 255)
    assert same_picture(picture, name)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_code_maps_are_decoded_by_the_page(bits, page):
    rng = np.random.default_rng(bits)
    walk = rng.normal(size=(2, 20, 23)).cumsum(axis=2)
    maps = np.rint((walk - walk.min()) / np.ptp(walk) * ((1 << bits) - 1)).astype(np.uint8)
    assert np.array_equal(page["decode_maps"](contextcoder.encode(maps, bits), *maps.shape, bits), maps)
