"""ResGDN's operating points: for each bit depth of the code map, the QP that gives the residual the paper's share.

The bit depths and QPs of the paper's five points are lost in its text; what is known is the residual's share of the
rate at each, 2 to 76 % (section 3). The paper leaves the best rate allocation as a future topic (section 4); the second
list has the pairs of depth and QP that no mixture of others beats. `rdbench resgdn-points` determines both lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import UsageError
from codecs_wrappers.learned import weights

PATH = weights.COMMITTED / "resgdn_points.yaml"
QPS = range(52)


def read(path: Path = PATH, key: str = "points") -> list[dict[str, Any]]:
    """The paper's ``points`` or the ``allocated`` ones, by increasing rate: at least ``bits`` and ``qp`` of each.

    Raises UsageError for an invalid file.
    """
    import yaml

    try:
        points = yaml.safe_load(path.read_text(encoding="utf-8"))[key]
        if not all(point["bits"] in range(1, 9) and point["qp"] in QPS for point in points):
            raise ValueError("bits are 1..8 and qp 0..51")
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"reading ResGDN's operating points from {path}: {error!r}; restore it from git") from error
    return points
