"""The scale of a blind test joined to the run's records: what each bitstream costs, measures and looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import records
from bench.blind.scale import DRAWS, SEED, Comparisons, Scale, scale

FACTS = ["bpp", "psnr_rgb_db", "psnr_y_db", "psnr_611_db", "ms_ssim", "ms_ssim_db", "ssimulacra2"]
JOIN = ["dataset", "image", "codec", "reconstruction_sha256"]
HELPED = "a picture won or lost all its comparisons: one 'not sure' was added to each pair across"
UNLINKED = "no answer links it to the original"
NO_INTERVAL = "no interval: one unit to draw from, or too many draws without a link to the original"
CHANGED = "the run no longer has this reconstruction"


def scale_table(
    answers: pd.DataFrame, key: Mapping[str, Any], folder: Path | None, draws: int = DRAWS, seed: int = SEED
) -> pd.DataFrame:
    """A row per bitstream of the study (scope "image") and per codec and rate over all images (scope "all").

    answers: rows of :func:`bench.blind.answers.read_answers` that count; traps in it are left out. Columns: scope,
    dataset, image, codec, point, wanted_bpp, FACTS and the run's other metrics, jnd, jnd_low, jnd_high, answers,
    note, reconstruction_sha256, bitstream_sha256. folder: the run's, None for no join: bpp alone is then known, from
    the key. Over all images the answers are pooled, and FACTS are means of the finite values.
    """
    used = answers[answers.kind != "trap"]
    conditions = key["conditions"]
    units, names = _units(used)
    parts = [_of_image(used, units, len(names), conditions, image, draws, seed) for image in _images(conditions)]
    per_image = pd.DataFrame([row for part in parts for row in part])
    per_image = _joined(per_image, folder)
    pooled = _pooled(used, units, len(names), conditions, per_image, draws, seed)
    facts = [name for name in [*FACTS, *records.EXTRA_METRICS] if name in per_image]
    columns = ["scope", "dataset", "image", "codec", "point", "wanted_bpp", *facts, "jnd", "jnd_low", "jnd_high"]
    columns += ["answers", "note", "reconstruction_sha256", "bitstream_sha256"]
    return pd.concat([per_image, pooled], ignore_index=True).reindex(columns=columns)


def _units(used: pd.DataFrame) -> tuple[np.ndarray, Sequence[Any]]:
    """What the bootstrap draws, by answer: the participant; with one participant the pair of pictures."""
    if used.participant.nunique() > 1:
        return pd.factorize(used.participant, sort=True)
    pairs = used["first"].astype(str) + " " + used["second"].astype(str)
    return pd.factorize(pairs, sort=True)


def _images(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(it["image"] for it in conditions))


def _of_image(
    used: pd.DataFrame,
    units: np.ndarray,
    count: int,
    conditions: Sequence[Mapping[str, Any]],
    image: str,
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of one image's bitstreams."""
    members = [index for index, it in enumerate(conditions) if it["image"] == image]
    members = [index for index in members if not conditions[index]["codec"] or conditions[index]["wanted_bpp"]]
    members.sort(key=lambda index: bool(conditions[index]["codec"]))  # the original first
    place = {index: number for number, index in enumerate(members)}
    chosen = used["first"].isin(members).to_numpy()
    own = used[chosen]
    compared = Comparisons(
        len(members),
        own["first"].map(place).to_numpy(int),
        own["second"].map(place).to_numpy(int),
        own.value.to_numpy(float),
        units[chosen],
    )
    found = scale(compared, count, draws, seed)
    names = ("dataset", "image", "codec", "point", "wanted_bpp", "bpp", "reconstruction_sha256", "bitstream_sha256")
    rows = []
    for index in members[1:]:
        number = place[index]
        asked = int(((compared.first == number) | (compared.second == number)).sum())
        facts = {name: conditions[index][name] for name in names}
        rows.append({"scope": "image", **facts, **_numbers(found, number), "answers": asked})
    return rows


def _numbers(found: Scale, number: int) -> dict[str, Any]:
    if not np.isfinite(found.jnd[number]):
        return {"jnd": np.nan, "jnd_low": np.nan, "jnd_high": np.nan, "note": UNLINKED}
    ends = {"jnd_low": found.low[number], "jnd_high": found.high[number]}
    notes = [HELPED] * found.helped + [NO_INTERVAL] * bool(np.isnan(found.low[number]))
    return {"jnd": found.jnd[number], **ends, "note": "; ".join(notes)}


def _joined(rows: pd.DataFrame, folder: Path | None) -> pd.DataFrame:
    """``rows`` with the records' numbers of the same reconstruction; a note where the run has it no more."""
    if folder is None:
        return rows
    frames = [records.measured(records.read(folder / "records.parquet"))]
    if (folder / "matched.parquet").is_file():
        frames.append(pd.read_parquet(folder / "matched.parquet"))
    facts = [name for name in [*FACTS, *records.EXTRA_METRICS] if name in frames[0]]
    known = pd.concat(frames, ignore_index=True).drop_duplicates(JOIN)[[*JOIN, *facts]]
    found = rows.drop(columns="bpp").merge(known, on=JOIN, how="left", validate="many_to_one")
    lost = found.bpp.isna()
    found.loc[lost, "bpp"] = rows.bpp[lost]
    found.loc[lost, "note"] = [f"{note}; {CHANGED}" if note else CHANGED for note in found.note[lost]]
    return found


def _pooled(
    used: pd.DataFrame,
    units: np.ndarray,
    count: int,
    conditions: Sequence[Mapping[str, Any]],
    per_image: pd.DataFrame,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Rows per codec and wanted rate, from all images' answers together."""
    groups = list(dict.fromkeys((it["codec"], it["wanted_bpp"]) for it in conditions if it["wanted_bpp"]))
    place = [groups.index((it["codec"], it["wanted_bpp"])) + 1 if it["wanted_bpp"] else 0 for it in conditions]
    first, second = (np.array(place)[used[side].to_numpy(int)] for side in ("first", "second"))
    found = scale(Comparisons(len(groups) + 1, first, second, used.value.to_numpy(float), units), count, draws, seed)
    rows = []
    for number, (codec, rate) in enumerate(groups, 1):
        own = per_image[(per_image.codec == codec) & (per_image.wanted_bpp == rate)]
        facts = {name: own[name] for name in [*FACTS, *records.EXTRA_METRICS] if name in own}
        means = {name: values[np.isfinite(values.astype(float))].mean() for name, values in facts.items()}
        asked = int(((first == number) | (second == number)).sum())
        named = {"scope": "all", "dataset": own.dataset.iloc[0], "codec": codec, "wanted_bpp": rate}
        rows.append({**named, **means, **_numbers(found, number), "answers": asked})
    return pd.DataFrame(rows)
