"""What operating points may set is declared once by each codec; everything else is refused, wherever it comes from."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codecs_wrappers
from bench.cli import main
from bench.codec import Codec, Parameter, Point, VariableRate
from bench.discovery import codecs, discover
from bench.errors import UsageError
from bench.parameters import check_values, parameters_from_points

CODECS: dict[str, Codec] = codecs() | {c.name: c for c in importlib.import_module("codecs_wrappers._template").CODECS}
AVAILABLE = [name for name, codec in CODECS.items() if codec.available()[0]]
# Networks, which take seconds for each end, and the codecs in Python.
SLOW = {name for name, codec in CODECS.items() if codec.weights_digest()} | {"spiht", "spiht_bu", "vvc420"}
QUALITY = Parameter("quality", int, (1, 100), "how good")


@pytest.mark.parametrize(
    ("parameter", "taken", "not_taken"),
    [
        (QUALITY, [1, 50, 100], [0, 101, -5, 50.0, 50.5, "50", True, None, math.nan, math.inf, [50]]),
        (Parameter("bpp", float, (0.5, math.inf)), [0.5, 1, 1e9], [0.49, -1, math.nan, math.inf, "1", False, 10**400]),
        (Parameter("model", str, ("a", "b")), ["a", "b"], ["c", "", "A", 1, None, ("a",)]),
    ],
)
def test_a_parameter_takes_its_type_and_range_and_nothing_else(parameter, taken, not_taken):
    assert [value for value in taken if not parameter.accepts(value)] == []
    assert [value for value in not_taken if parameter.accepts(value)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        Parameter("", int, (1, 2)),
        Parameter("two words", int, (1, 2)),
        Parameter("q", bool, (False, True)),
        Parameter("q", int, ()),
        Parameter("q", int, (5, 1)),
        Parameter("q", float, (0.0, math.nan)),
        Parameter("q", float, (0.0, 1.0, 2.0)),
        Parameter("q", str, (1, 2)),
    ],
)
def test_a_declaration_that_says_nothing_is_refused(wrong):
    with pytest.raises(UsageError, match="mine declares"):
        wrong.check("mine")


def test_a_refusal_names_what_is_allowed():
    for given, text in (
        ({"qualty": 50}, "mine: no parameter is called 'qualty'; it has quality (a whole number from 1 to 100)"),
        ({"quality": 300}, "mine: expected quality (a whole number from 1 to 100), got 300"),
    ):
        with pytest.raises(UsageError) as refused:
            check_values("mine", [QUALITY], given)
        assert str(refused.value) == text
    with pytest.raises(UsageError, match="it has none"):
        check_values("grey", [], {"quality": 1})
    with pytest.raises(UsageError, match=r"expected model \(one of a, b\), got 'c'"):
        check_values("mine", [Parameter("model", str, ("a", "b"))], {"model": "c"})


def test_a_codec_that_declares_none_has_what_its_points_have():
    given = [{"q": 5, "speed": 1, "kind": "a"}, {"q": 40, "speed": 0.5, "kind": "b"}]
    assert parameters_from_points(given) == (
        Parameter("q", int, (5, 40)),
        Parameter("speed", float, (0.5, 1)),
        Parameter("kind", str, ("a", "b")),
    )
    with pytest.raises(UsageError, match="'q': expected numbers at every operating point"):
        parameters_from_points([{"q": 5}, {"q": "fast"}])


# Every codec


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_of_this_project_declares_its_parameters_with_their_meaning(name):
    codec = CODECS[name]
    declared = any("parameters" in vars(kind) for kind in type(codec).__mro__ if kind is not Codec)
    assert declared or "parameters" in vars(codec) or isinstance(codec, VariableRate) or not codec.parameters
    assert all(parameter.meaning for parameter in codec.parameters)
    for point in codec.points:
        check_values(name, codec.parameters, point.parameters)
        assert {parameter.name for parameter in codec.parameters} == set(point.parameters)


def wrong_values(parameter: Parameter) -> list[str]:
    if parameter.type is str:
        return ["nosuch", "1", "null"]
    low, high = parameter.range
    ends = [str(low - 1)] + ([str(high + 1)] if math.isfinite(high) else [])
    return [
        *ends,
        "abc",
        "NaN",
        "Infinity",
        "1e999",
        "true",
        "null",
        "[1]",
        "",
        *(["1.5"] if parameter.type is int else []),
    ]


@pytest.mark.parametrize("name", AVAILABLE)
def test_wrong_parameters_are_refused_by_every_codec_before_anything_is_read_or_written(
    name, tmp_path, capsys, monkeypatch
):
    if name == "template":
        folder = tmp_path / "wrappers"
        _wrappers(folder, monkeypatch)
        assert main(["new-codec", "template_copy"]) == 0
        name = "template_copy"
    codec = codecs()[name]
    wrong = [("foo", "1")] + [(it.name, value) for it in codec.parameters for value in wrong_values(it)]
    capsys.readouterr()
    for parameter, value in wrong:
        out = tmp_path / "out.bin"
        assert main(["encode", name, str(tmp_path / "none.png"), str(out), "--set", f"{parameter}={value}"]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"rdbench: {name}: ") and "none.png" not in message
        for allowed in codec.parameters if parameter == "foo" else [p for p in codec.parameters if p.name == parameter]:
            assert str(allowed) in message
        assert not out.exists()


def _wrappers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(codecs_wrappers, "__path__", [*codecs_wrappers.__path__, str(folder)])
    importlib.invalidate_caches()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in AVAILABLE])
def test_the_ends_of_every_range_code_and_decode(name):
    """A range that is wider than what the encoder takes would be a traceback at a user's."""
    codec = CODECS[name]
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 256, (6, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    point = codec.points[len(codec.points) // 2]
    for parameter in codec.parameters:
        ends = [end for end in parameter.range if not isinstance(end, float) or math.isfinite(end)]
        for end in (ends[0], ends[-1]):
            bitstream = codec.encode(image, codec.changed(point, "end", **{parameter.name: end}))
            assert codec.decode(bitstream).shape == image.shape


def test_a_value_that_is_allowed_is_coded_with(tmp_path, capsys):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["encode", "webp", str(tmp_path / "a.png"), str(tmp_path / "a.webp"), "--set", "quality=61", "--json"]
    assert main(arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["point"], row["parameters"]) == ("quality61", {"quality": 61})


def test_list_shows_the_parameters(capsys):
    assert main(["list", "--json"]) == 0
    document = capsys.readouterr().out
    rows = {row["codec"]: row["parameters"] for row in json.loads(document, parse_constant=pytest.fail)["rows"]}
    assert rows["jpeg"] == [{"name": "quality", "type": "int", "range": [1, 100], "meaning": "libjpeg's quality"}]
    assert rows["spiht"][0]["range"] == [0.0, None]
    assert rows["naive_scaling"][0]["range"] == [1.0, 64.0] and rows["identity"] == []
    assert rows["mean_scale"][0]["type"] == "str" and "mean_scale_0.0154" in rows["mean_scale"][0]["range"]
    assert main(["list"]) == 0
    assert "--set quality=1..100  libjpeg's quality" in capsys.readouterr().out


WRAPPER = """
from bench.codec import Codec, Parameter, Point
class Mine(Codec):
    name, extension = "mine", ".mine"
    points = (Point("a", step=3), Point("b", {second}))
    {declared}
    def version(self): return "1"
CODECS = [Mine()]
"""


@pytest.mark.parametrize(
    ("declared", "second", "reason"),
    [
        ("parameters = (Parameter('step', int, (1, 8)),)", "step=9", "operating point b: expected step"),
        ("parameters = (Parameter('step', int, (1, 8)),)", "stp=4", "operating point b: no parameter is called 'stp'"),
        ("parameters = (Parameter('step', int, (8, 1)),)", "step=4", "mine declares"),
        ("parameters = ()", "step=4", "no parameter is called 'step'; it has none"),
    ],
)
def test_a_wrapper_whose_points_and_parameters_disagree_is_in_error(declared, second, reason, tmp_path, monkeypatch):
    _wrappers(tmp_path / "wrappers", monkeypatch)
    name = "mine_" + str(abs(hash((declared, second))))
    (tmp_path / "wrappers" / f"{name}.py").write_text(WRAPPER.format(declared=declared, second=second))
    (found,) = (wrapper for wrapper in discover() if wrapper.module == name)
    assert reason in found.error


def test_a_codec_of_two_programs_refuses_what_it_was_not_made_for(tmp_path, monkeypatch, capsys):
    _wrappers(tmp_path / "wrappers", monkeypatch)
    script = tmp_path / "code.py"
    script.write_text(
        "import sys\nfrom PIL import Image\nImage.open(sys.argv[2]).convert('RGB').save(sys.argv[3], sys.argv[4], "
        "quality=int(sys.argv[1]))\n"
    )
    back = tmp_path / "decode.py"
    back.write_text("import sys\nfrom PIL import Image\nImage.open(sys.argv[1]).save(sys.argv[2])\n")
    python = sys.executable
    command = [
        "--command",
        f"{python} {script} {{q}} {{in}} {{out}} JPEG",
        "--decode",
        f"{python} {back} {{in}} {{out}}",
    ]
    assert main(["new-codec", "by_programs", *command, "--points", "20,90"]) == 0
    capsys.readouterr()
    codec = codecs()["by_programs"]
    assert codec.parameters == (Parameter("q", int, (20, 90), "as the encoder takes it"),)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a.png")
    code = ["encode", "by_programs", str(tmp_path / "a.png"), str(tmp_path / "a.bin")]
    for wrong in ("q=10", "q=91", "q=50.5", "q=x", "quality=50"):
        assert main([*code, "--set", wrong]) == 2
        assert "q (a whole number from 20 to 90)" in capsys.readouterr().err
    assert main([*code, "--set", "q=50"]) == 0


def test_a_variable_rate_codecs_points_stay_within_its_limits():
    class Scaled(VariableRate):
        name, extension, parameter, limits, meaning = "scaled", ".s", "s", (1.0, 4.0), "a step"
        points = (Point("s2", s=2.0),)

    assert Scaled().parameters == (Parameter("s", float, (1.0, 4.0), "a step"),)
    with pytest.raises(UsageError, match=r"expected s \(a number from 1 to 4\), got 5"):
        Scaled().changed(Scaled().points[0], "s5", s=5)


@pytest.mark.parametrize("name", [name for name in ("spiht", "plonq", "nested_dropout") if name in AVAILABLE])
def test_the_largest_rate_that_is_allowed_is_the_whole_stream(name):
    """1e308 bpp times the pixels is no finite number."""
    codec = CODECS[name]
    image = np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    whole = codec.encode(image, codec.changed(codec.points[-1], "most", bpp=1e6))
    assert codec.encode(image, codec.changed(codec.points[-1], "most", bpp=sys.float_info.max)) == whole
