"""The pages on bitstream formats are complete: real bitstreams, read with nothing but their tables and their Python."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import pytest
from formatpages import FORMATS, STREAMS, crc16, crc32, fields, python_of
from skimage import data
from toymodel import ToyModel

from bench.codec import Point
from bench.discovery import load
from codecs_wrappers.learned import bitstream as stream
from codecs_wrappers.learned.entropy.gaussian import gaussian_tables
from codecs_wrappers.learned.entropy.tables import Tables
from codecs_wrappers.learned.hyperprior import coding as meanscale
from codecs_wrappers.learned.plonq import coding as plonq

MODEL = ToyModel(limit=3.0)  # scales too small for some of the latent: escapes are coded
IMAGE = data.coffee()[100:165, 60:190]


def as_page(tables: Tables) -> list[tuple[int, int, bool, list[int]]]:
    """The project's tables as the page writes them."""
    return [
        (
            int(tables.minimum[t]),
            int(tables.size[t]),
            bool(tables.escape[t]),
            [0, *np.cumsum(tables.counts(t)).tolist()],
        )
        for t in range(len(tables))
    ]


@pytest.fixture(scope="module")
def coder() -> dict[str, Any]:
    return python_of("range-coder.md")


def test_the_pages_tables_are_the_projects(coder):
    assert coder["GAUSSIAN"] == as_page(gaussian_tables())
    assert coder["digest"](coder["GAUSSIAN"]) == gaussian_tables().digest()


@pytest.mark.parametrize("step", [1.0, 2.5])
def test_a_container_and_its_payload_are_read_by_the_page(coder, step):
    bitstream, _ = meanscale.encode(MODEL, IMAGE, "naive_scaling", step, struct.pack(">f", step))
    header, left = fields("index.md", 0, bitstream)
    assert not left
    assert (header["magic"], header["format"], header["scheme"]) == ("rdL", 1, 1)
    assert (header["height"], header["width"], header["model"]) == (*IMAGE.shape[:2], MODEL.id)
    assert header["header_crc"] == crc16(bitstream[: len(bitstream) - header["payload_bytes"] - 2])
    assert struct.unpack(">f", header["parameters"]) == (step,)

    z_tables = as_page(MODEL.z_tables)
    sets = coder["digest"](coder["GAUSSIAN"]) + coder["digest"](z_tables)
    assert header["tables"] == coder["hashlib"].sha256(sets).digest()[:4]
    decoder = coder["RangeDecoder"](header["payload"])
    y_shape, z_shape = MODEL.latent_shapes(header["height"], header["width"])
    z = np.array([decoder.symbol(z_tables[c]) for c in range(z_shape[0]) for _ in range(z_shape[1] * z_shape[2])])
    means, sigma = MODEL.hyper(z.reshape(z_shape).astype(np.int32))
    indices = [coder["scale_index"](value, step) for value in sigma.ravel()]
    symbols = [decoder.symbol(coder["GAUSSIAN"][index]) for index in indices]
    assert crc32(z, symbols, means, indices) == header["checksum"]
    assert np.array_equal(np.reshape(symbols, y_shape), meanscale.quantize(MODEL, IMAGE, step).symbols)
    assert any(abs(symbol) > -coder["GAUSSIAN"][index][0] for symbol, index in zip(symbols, indices, strict=True))


def test_a_plonq_bitstream_is_read_by_the_pages():
    page = python_of("range-coder.md", "plonq.md")
    bitstream = plonq.encode(MODEL, IMAGE)
    header, _ = fields("index.md", 0, bitstream)
    parameters, left = fields("plonq.md", 0, header["parameters"], **header)
    assert not left
    assert header["scheme"] == 4 and parameters["order"] == 0
    assert parameters["levels"] == [(level.step, level.centre) for level in plonq.LEVELS[:-1]]

    decoder, z_tables = page["RangeDecoder"](header["payload"]), as_page(MODEL.z_tables)
    _, z_shape = MODEL.latent_shapes(header["height"], header["width"])
    z = np.array([decoder.symbol(z_tables[c]) for c in range(z_shape[0]) for _ in range(z_shape[1] * z_shape[2])])
    means, sigma = MODEL.hyper(z.reshape(z_shape).astype(np.int32))
    indices = [page["scale_index"](value) for value in sigma.ravel()]
    bins = page["decode_levels"](decoder, indices, parameters["levels"])
    assert all(first == last for first, last in bins)
    integers = [first for first, _ in bins]
    assert integers == meanscale.quantize(MODEL, IMAGE).symbols.ravel().tolist()
    assert crc32(z, integers, means, indices) == header["checksum"]
    outliers = sum(abs(k) > -page["GAUSSIAN"][index][0] for k, index in zip(integers, indices, strict=True))
    assert outliers  # the escape was used


@pytest.mark.parametrize("size", [(40, 56), (65, 130), (17, 33), (7, 90)])
@pytest.mark.parametrize("bpp", [0.7, 2.0])
@pytest.mark.parametrize(("name", "decoder"), [("spiht", "ArithmeticSpiht"), ("spiht_bu", "Spiht")])
def test_a_spiht_bitstream_is_decoded_by_the_page(size, bpp, name, decoder):
    codec, image = load(name), data.coffee()[100 : 100 + size[0], 60 : 60 + size[1]]
    bitstream = codec.encode(image, Point("bpp", bpp=bpp))
    header, left = fields("spiht.md", 0, bitstream)
    assert not left and header["magic"] == "SP" and header["kind"] == 16 + (name == "spiht")
    assert (header["height"], header["width"]) == size
    page = python_of("spiht.md")
    decided = page[decoder](header["decisions"], *size, header["depth"] >> 5, header["depth"] & 31)
    assert np.array_equal(page["picture"](decided), codec.decode(bitstream))
    assert len(decided.coefficients()) > 20


def test_the_stored_spiht_header_is_the_one_on_the_page():
    shown = re.search(r"^53 50 .*$", (FORMATS / "spiht.md").read_text(), re.M).group()
    bitstream = (STREAMS / "spiht_bu.spiht_bu").read_bytes()
    start = bytes.fromhex(shown.removesuffix("..."))
    assert bitstream.startswith(start)
    crc = 0
    for byte in start[:6]:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x107 if crc & 128 else 0)) & 255
    assert crc == start[6] == fields("spiht.md", 0, bitstream)[0]["crc"]


def test_a_stanh_bitstream_is_read_by_the_pages():
    torch = pytest.importorskip("torch", reason="needs the extra rdbench[learned]")
    pytest.importorskip("compressai", reason="needs the extra rdbench[learned]")
    from codecs_wrappers.learned import weights
    from codecs_wrappers.learned.hyperprior import networks
    from codecs_wrappers.learned.hyperprior.model import Model
    from codecs_wrappers.learned.stanh import coding as stanh_codec
    from codecs_wrappers.learned.stanh.backbones import MeanScaleBackbone

    torch.manual_seed(0)
    entry = {"architecture": {"family": "mean_scale", "N": 8, "M": 12}}
    state = networks.build(entry["architecture"]).state_dict()
    model = Model(weights.Weights("tiny", state, "00" * 32, entry))
    backbone = MeanScaleBackbone(model)
    steps = np.array([1.5, 0.75, 1.25, 1.0])
    levels = np.concatenate([-np.cumsum(steps)[::-1], [0], np.cumsum(steps)])
    quantizer = stanh_codec.Quantizer(levels, (levels[1:] + levels[:-1]) / 2 + 0.1)
    pair = stanh_codec.Pair(quantizer, quantizer)
    bitstream, _ = stanh_codec.encode(backbone, pair, IMAGE, "stanh", b"name")

    page = python_of("range-coder.md", "stanh.md")
    header, _ = fields("index.md", 0, bitstream)
    assert header["scheme"] == 5
    assert fields("stanh.md", 0, header["parameters"])[0]["quantizers"] == b"name"
    between = struct.pack(">4s4sH", b"low.", b"high", 2500)
    assert fields("stanh.md", 1, between) == (
        {"quantizers": b"low.", "next_quantizers": b"high", "fraction": 2500},
        b"",
    )
    y_tables = page["level_tables"](levels)
    z_tables = as_page(stanh_codec.PairTables.build(pair, backbone).z)
    sets = page["digest"](y_tables) + page["digest"](z_tables)
    assert header["tables"] == page["hashlib"].sha256(sets).digest()[:4]
    decoder = page["RangeDecoder"](header["payload"])
    _, z_shape = backbone.latent_shapes(header["height"], header["width"])
    z = np.array([decoder.symbol(z_tables[c]) for c in range(z_shape[0]) for _ in range(z_shape[1] * z_shape[2])])
    (part,) = backbone.parts(levels[z.reshape(z_shape) + len(levels) // 2])
    indices = [page["scale_index"](value) for value in part.sigma.ravel()]
    symbols = [decoder.symbol(y_tables[index]) for index in indices]
    assert crc32(z, symbols, part.means, indices) == header["checksum"]


@pytest.mark.parametrize("bits", [2, 5])
def test_a_resgdn_bitstream_is_read_by_the_pages(bits):
    torch = pytest.importorskip("torch", reason="needs the extra rdbench[learned]")
    pytest.importorskip("compressai", reason="needs the extra rdbench[learned]")
    from codecs_wrappers.learned import weights
    from codecs_wrappers.learned.resgdn import coding
    from codecs_wrappers.learned.resgdn import networks as resgdn
    from codecs_wrappers.native import bpg, codemap

    torch.manual_seed(0)
    entry = {"architecture": {"family": "resgdn", "widths": [8, 8, 8, 8], "channels": 4}}
    state = resgdn.build(entry["architecture"]).state_dict()
    model = coding.Model(weights.Weights("tiny", state, "00" * 32, entry))
    base = coding.encode_base(model, IMAGE, bits)
    bitstream, picture = coding.enhance(base, IMAGE, 30)

    header, layer = fields("index.md", 0, bitstream)
    parameters, _ = fields("resgdn.md", 0, header["parameters"], **header)
    assert (header["scheme"], parameters["bits"], len(parameters["quantizers"])) == (6, bits, 4)
    coded, _ = fields("resgdn.md", 1, header["payload"])
    assert (coded["flags"] & 7) + 1 == bits and not coded["flags"] & 8
    assert (coded["channels"], coded["rows"], coded["columns"]) == (4, -(-IMAGE.shape[0] // 8), -(-IMAGE.shape[1] // 8))
    levels = codemap.decode(header["payload"])
    assert crc32(levels, np.frombuffer(header["payload"], np.uint8)) == header["checksum"]

    enhancement, left = fields("resgdn.md", 2, layer, **parameters)
    assert not left and len(layer) == parameters["enhancement_bytes"]
    assert crc32(np.frombuffer(layer[:-4], np.uint8)) == enhancement["layer_crc"]
    low, high = enhancement["low"], enhancement["high"]
    residual = np.rint(bpg.decode(enhancement["bpg"]) * ((high - low) / 255)) + low
    assert np.array_equal(np.clip(base.picture + residual, 0, 255).astype(np.uint8), picture)
    samples = torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)[None]
    scales, zero_points = (
        torch.tensor(column).view(1, -1, 1, 1) for column in zip(*parameters["quantizers"], strict=True)
    )
    assert np.array_equal(model.synthesise(scales * (samples - zero_points), *IMAGE.shape[:2]), base.picture)


def test_every_scheme_stands_in_the_table_under_its_code():
    section = (FORMATS / "index.md").read_text().split("## The schemes")[1]
    assert dict(enumerate(stream.SCHEMES)) == {int(n): s for n, s in re.findall(r"^\| (\d) \| (\w+) \|", section, re.M)}
