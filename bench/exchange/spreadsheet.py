"""Two codecs in the layout of the spreadsheets of JVET's common test conditions, for readers who work with those.

A sheet a dataset (their "class"), in it a block of rows for each image (their "sequence"), with a row for each of four
operating points of the anchor on the left and of the test on the right, and behind them the image's BD-rates. The first
sheet sums up. All cells hold values: the BD-rates are those of bench.rd.bjontegaard (PCHIP, as in the JVET sheets), no
formula of the sheet computes them again.

The layout wants four points. Of a codec with more, the four are taken whose mean qualities lie nearest to four evenly
spaced ones over the range that both mean curves share; which they are stands in the sheet, and so does the BD-rate over
all points.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import __version__, records
from bench.errors import UsageError
from bench.exchange.zipped import write_zip
from bench.rd.bjontegaard import bd_rate
from bench.rd.curves import CurveTable, curve_table, to_unit

POINTS = 4
# Column of the records -> its heading; BD-rates are given in all of them.
METRICS = {"psnr_y_db": "Y-PSNR", "psnr_rgb_db": "RGB-PSNR", "ms_ssim_db": "MS-SSIM (dB)"}
CHOSEN_BY = "psnr_rgb_db"
FORBIDDEN = r"[\[\]:*?/\\]"  # in a sheet's name, which has at most 31 characters
DATE = "1980-01-01T00:00:00Z"
Points = tuple[list[int], list[int]]  # indices of an anchor's and a test's points


@dataclass(frozen=True)
class Pair:
    """An anchor and a test on one dataset: in each metric their tables of the images that both have; the points chosen.

    chosen: indices into the tables' points, for the anchor and the test, in order of rising rate.
    """

    dataset: str
    tables: dict[str, tuple[CurveTable, CurveTable]]
    chosen: Points


def write_spreadsheet(frame: pd.DataFrame, datasets: Sequence[str], anchor: str, test: str, path: Path) -> list[Pair]:
    """Writes ``path`` (.xlsx) and returns what is in it; the same records give the same bytes.

    Raises UsageError where the two codecs have no image in common, or too few points.
    """
    from openpyxl import Workbook

    pairs = [pair(frame, dataset, anchor, test) for dataset in datasets]
    book = Workbook()
    book.active.title = "Summary"
    _summary(book.active, frame, pairs, anchor, test)
    for it in pairs:
        _class(book.create_sheet(_sheet_name(it.dataset, book.sheetnames)), it, anchor, test)
    buffer = io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer) as made:
        members = [(name, _dateless(name, made.read(name))) for name in sorted(made.namelist(), key=_content_first)]
    write_zip(path, members)
    return pairs


def pair(frame: pd.DataFrame, dataset: str, anchor: str, test: str) -> Pair:
    """The two codecs' tables and the points chosen. Raises UsageError as :func:`write_spreadsheet`."""
    tables = {}
    for metric in METRICS:
        first, second = (curve_table(frame, dataset, codec, metric) for codec in (anchor, test))
        common = [image for image in first.images if image in second.images]
        if common:
            tables[metric] = first.select(common), second.select(common)
    if CHOSEN_BY not in tables:
        raise UsageError(f"writing {test} against {anchor}: they have no measured image of {dataset} in common")
    return Pair(dataset, tables, _four_points(*tables[CHOSEN_BY], f"{test} against {anchor} on {dataset}"))


def _four_points(anchor: CurveTable, test: CurveTable, what: str) -> Points:
    """For each table the indices of the points whose mean qualities are spread over the range both share."""
    means: list[tuple[np.ndarray, np.ndarray]] = []
    for table in (anchor, test):
        reached = np.flatnonzero(~table.saturated.any(axis=0))
        quality = table.averaged()[1]
        finite = np.isfinite(quality)
        means.append((reached[finite], quality[finite]))
    if min(len(index) for index, _ in means) < 2:
        raise UsageError(f"writing {what}: expected two operating points or more with a finite PSNR of each")
    low = max(quality.min() for _, quality in means)
    high = min(quality.max() for _, quality in means)
    if high <= low:
        raise UsageError(f"writing {what}: their mean curves share no range of quality")
    first, second = (_nearest(index, quality, np.linspace(low, high, POINTS)) for index, quality in means)
    return first, second


def _nearest(index: np.ndarray, quality: np.ndarray, wanted: np.ndarray) -> list[int]:
    """As many of ``index`` as ``wanted`` has qualities, each the nearest to one, none twice; all if there are fewer."""
    if len(index) <= len(wanted):
        return [int(it) for it in index]
    left = list(range(len(index)))
    taken = []
    for target in wanted:
        best = min(left, key=lambda place: abs(quality[place] - target))
        left.remove(best)
        taken.append(best)
    return sorted(int(index[place]) for place in taken)


def bd_rates(pair: Pair, metric: str, image: int, points: Points | None) -> float | str:
    """An image's BD-rate in percent over the given points of both codecs, all where None; the reason code for none."""
    curves = []
    for table, chosen in zip(pair.tables[metric], points or (None, None), strict=True):
        at = slice(None) if chosen is None else chosen
        curves += [table.bpp[image][at], to_unit(table.value[image][at], metric)]
    bd = bd_rate(*curves)
    return bd.reason if bd.value is None else bd.value


def _summary(sheet: Any, frame: pd.DataFrame, pairs: Sequence[Pair], anchor: str, test: str) -> None:
    measured = records.measured(frame)
    versions = measured.dropna(subset="codec_version").groupby("codec").codec_version.first().to_dict()
    rows: list[list[Any]] = [
        ["Anchor", anchor, versions.get(anchor, "")],
        ["Test", test, versions.get(test, "")],
        ["Layout", "JVET common test conditions; rates are bits of files per pixel, PSNR is of 8-bit samples"],
        [
            "BD-rate",
            "PCHIP, percent; negative: the test needs fewer bits. Values, no formulas",
            "rdbench " + __version__,
        ],
        ["Points", f"{POINTS} points a codec, spread over the range of mean RGB-PSNR that both share (in the sheets)"],
        [],
        ["Class", "Sequences", *[f"BD-rate {name}, 4 points" for name in METRICS.values()]]
        + [f"BD-rate {name}, all points" for name in METRICS.values()],
    ]
    rows += [[it.dataset, _images(it), *_means(it, it.chosen), *_means(it, None)] for it in pairs]
    _fill(sheet, rows, bold={7}, digits=2)


def _images(pair: Pair) -> int:
    return len(pair.tables[CHOSEN_BY][0].images)


def _means(pair: Pair, points: Points | None) -> list[Any]:
    """The mean over images of their BD-rates in each metric, or why there is none."""
    cells: list[Any] = []
    for metric in METRICS:
        if metric not in pair.tables:
            cells.append("not measured")
            continue
        values = [bd_rates(pair, metric, image, points) for image in range(len(pair.tables[metric][0].images))]
        numbers = [value for value in values if not isinstance(value, str)]
        enough = 2 * len(numbers) >= len(values)
        cells.append(sum(numbers) / len(numbers) if numbers and enough else "no value for most images")
    return cells


def _class(sheet: Any, pair: Pair, anchor: str, test: str) -> None:
    """A dataset's sheet: a block for each image."""
    columns = ["bit/pixel", *METRICS.values()]
    sides = zip(pair.tables[CHOSEN_BY], pair.chosen, strict=True)
    names = [[table.points[at] for at in chosen] for table, chosen in sides]
    rows: list[list[Any]] = [
        [f"Points of {anchor}", ", ".join(names[0]), f"of {len(pair.tables[CHOSEN_BY][0].points)}"],
        [f"Points of {test}", ", ".join(names[1]), f"of {len(pair.tables[CHOSEN_BY][1].points)}"],
        [],
        ["", anchor, *[""] * len(columns), test],
        ["Sequence", "QP", *columns, "QP", *columns]
        + [f"BD-rate {name}, 4 points" for name in METRICS.values()]
        + [f"BD-rate {name}, all points" for name in METRICS.values()],
    ]
    for image in pair.tables[CHOSEN_BY][0].images:
        blocks = [[_cells(pair, side, image, at) for at in pair.chosen[side]] for side in (0, 1)]
        for line in range(max(map(len, blocks))):
            left, right = (side[line] if line < len(side) else [""] * (len(columns) + 1) for side in blocks)
            rates = [*_of_image(pair, image, pair.chosen), *_of_image(pair, image, None)] if line == 0 else []
            rows.append([image if line == 0 else "", *left, *right, *rates])
    _fill(sheet, rows, bold={4, 5}, digits=4)


def _cells(pair: Pair, side: int, image: str, at: int) -> list[Any]:
    """QP, rate and qualities of one image at one point."""
    table = pair.tables[CHOSEN_BY][side]
    bpp = float(table.bpp[table.images.index(image), at])
    values = []
    for metric in METRICS:
        own = pair.tables[metric][side] if metric in pair.tables else None
        values.append(_value(own, image, at, metric) if own is not None and image in own.images else "")
    return [table.points[at], bpp, *values]


def _value(table: CurveTable, image: str, at: int, metric: str) -> Any:
    value = float(to_unit(table.value[table.images.index(image), at], metric))
    return value if np.isfinite(value) else "identical"


def _of_image(pair: Pair, image: str, points: Points | None) -> list[Any]:
    """The image's BD-rate in each metric over ``points``, over all where None."""
    cells: list[Any] = []
    for metric in METRICS:
        images = pair.tables[metric][0].images if metric in pair.tables else ()
        cells.append(bd_rates(pair, metric, images.index(image), points) if image in images else "not measured")
    return cells


def _fill(sheet: Any, rows: Sequence[Sequence[Any]], bold: set[int], digits: int) -> None:
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    for number, row in enumerate(rows, 1):
        for column, value in enumerate(row, 1):
            if value == "":
                continue
            text = isinstance(value, str)
            cell = sheet.cell(number, column, ILLEGAL_CHARACTERS_RE.sub("?", value) if text else value)
            if text:
                cell.data_type = "s"  # a name that begins with = is not a formula
            elif isinstance(value, float):
                cell.number_format = f"0.{'0' * digits}"
            cell.font = Font(bold=number in bold or column == 1)
    for column in range(1, max(map(len, rows)) + 1):
        sheet.column_dimensions[get_column_letter(column)].width = 14
    sheet.freeze_panes = sheet.cell(max(bold) + 1, 2)


def _sheet_name(dataset: str, taken: Sequence[str]) -> str:
    name = re.sub(FORBIDDEN, "-", dataset)[:28].strip("'") or "class"
    number = 1
    while (made := name if number == 1 else f"{name}-{number}").lower() in {it.lower() for it in taken}:
        number += 1
    return made


def _content_first(name: str) -> tuple[bool, str]:
    return name != "[Content_Types].xml", name


def _dateless(name: str, content: bytes) -> bytes:
    """A part of the workbook with the time of writing replaced by a fixed one."""
    if name != "docProps/core.xml":
        return content
    return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", DATE.encode(), content)
