"""What a figure may draw from: a run's records, times and BD table, the published curves, and each codec's look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import Missing
from bench.figures.colour import apart_in_grey
from bench.figures.layout import PAGE, Layout
from bench.figures.style import COLOURS, METRICS, Style
from bench.rd.bd_table import compare


@dataclass(frozen=True)
class Context:
    """One run, ready to be drawn.

    compared: rows of bench.rd.bd_table.compare; names: dataset -> how titles call it; folder: where its files lie;
    studies: (study, dataset) -> what bench.studies.run_study wrote; datasets: of the run, measured or not; matched:
    rows of bench.run.equal_rates.WANTED, coded for pictures at equal rates; variable_rate: rows of
    bench.run.variable_rate.SCHEMA; bold: the codecs that stand out where a figure shows all, known: those that
    figures.yaml gives a style, the others are new; remarks: dataset -> what has to be known before any number on it.
    """

    records: pd.DataFrame
    timing: pd.DataFrame | None
    compared: pd.DataFrame | None
    published: pd.DataFrame
    styles: Mapping[str, Style]
    names: Mapping[str, str]
    folder: Path = Path()
    studies: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    matched: pd.DataFrame | None = None
    variable_rate: pd.DataFrame | None = None
    bold: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    remarks: Mapping[str, str] = field(default_factory=dict)
    layout: Layout = PAGE

    def style(self, codec: str) -> Style:
        return self.styles[codec]

    def palette(self, count: int) -> list[str]:
        """Colours for what is not a codec; for a paper such as differ in print without colour too."""
        colours = [COLOURS[number % len(COLOURS)] for number in range(count)]
        return colours if self.layout.explains else apart_in_grey(colours)

    def standing_out(self, spec: Mapping[str, Any], codecs: Iterable[str]) -> set[str] | None:
        """The codecs in colour in a figure that shows all: bold ones and new ones. None where all are in colour."""
        if not self.bold or spec.get("codecs", "all") != "all":
            return None
        codecs = set(codecs)
        return ({*self.bold} | (codecs - self.known)) & codecs or None

    def codecs(self, spec: Mapping[str, Any], dataset: str) -> list[str]:
        """The measured codecs to draw, in order: those the specification names, or all of its `role`, else `codec`."""
        rows = self.records[(self.records.dataset == dataset) & (self.records.status == "ok")]
        wanted = spec.get("codecs", "all")
        if wanted == "all":
            return sorted(set(rows[rows.role == spec.get("role", "codec")].codec))
        return [codec for codec in wanted if codec in set(rows.codec)]

    def left_out(self, spec: Mapping[str, Any], dataset: str) -> dict[str, str]:
        """Codecs the figure asks for that have no measurement, with the reason."""
        rows = self.records[self.records.dataset == dataset]
        wanted = spec.get("codecs", "all")
        asked = sorted(set(rows[rows.role == spec.get("role", "codec")].codec)) if wanted == "all" else wanted
        reasons = {}
        for codec in asked:
            of_codec = rows[rows.codec == codec]
            if of_codec.empty:
                reasons[codec] = "not part of this run"
            elif not (of_codec.status == "ok").any():
                reasons[codec] = f"{of_codec.status.iloc[0]}: {of_codec.reason.iloc[0]}"
        return reasons

    def in_words(self, left_out: Mapping[str, str]) -> str:
        """Codecs and why they are left out, those of one reason together."""
        by_reason: dict[str, list[str]] = {}
        for codec, reason in left_out.items():
            by_reason.setdefault(reason, []).append(self.style(codec).label)
        return "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in by_reason.items())

    def at_fixed_rate(self, dataset: str, codec: str) -> bool:
        """Whether the codec's points ask for a rate, so that averages over images are at a fixed rate."""
        rows = self.records[(self.records.dataset == dataset) & (self.records.codec == codec)]
        return bool(rows.target_bpp.notna().any())

    def label(self, dataset: str, codec: str) -> str:
        """The codec's label in figures of averaged curves, which says so if the averages are at a fixed rate."""
        return self.style(codec).label + (" (at fixed rate)" if self.at_fixed_rate(dataset, codec) else "")

    def anchor(self, spec: Mapping[str, Any], dataset: str) -> str:
        """The BD anchor. Raises Missing if the run did not measure it on this dataset."""
        anchor = spec["anchor"]
        rows = self.records[(self.records.dataset == dataset) & (self.records.codec == anchor)]
        if not (rows.status == "ok").any():
            raise Missing(f"the anchor {anchor} was not measured on {dataset}")
        return anchor

    def headline(self, spec: Mapping[str, Any], dataset: str, codecs: list[str]) -> pd.DataFrame:
        """The headline BD rows (per image, PCHIP) of ``codecs`` against the anchor, indexed by codec.

        They are those of the run's own BD table where it has them, and computed otherwise.
        """
        anchor, metric = spec["anchor"], spec["metric"]
        compared = self.compared
        if compared is not None:
            compared = compared[
                (compared.dataset == dataset) & (compared.anchor == anchor) & (compared.metric == metric)
            ]
        if compared is None or not set(codecs) <= set(compared.codec):
            compared = compare(self.records, anchor, codecs, metric, dataset)
        rows = compared[(compared.averaging == "per_image") & (compared.method == "pchip")]
        return rows[rows.codec.isin(codecs)].set_index("codec")

    def title(self, spec: Mapping[str, Any], dataset: str) -> str:
        """``spec``'s title for this dataset; {dataset}, {metric} and {anchor} are filled in."""
        return self.fill(spec.get("title", "{dataset}"), spec, dataset)

    def fill(self, text: str, spec: Mapping[str, Any], dataset: str) -> str:
        anchor, metric = spec.get("anchor") or "", spec.get("metric", "")
        return text.format(
            dataset=self.names.get(dataset, dataset),
            metric=METRICS.get(metric, (metric,))[0],
            anchor=self.styles[anchor].label if anchor in self.styles else anchor,
        )
