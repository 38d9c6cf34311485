"""One page with the tables and pictures of all experiments, and which thresholds were met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fl_opt.comparison.environment import describe
from fl_opt.experiments.record import pictures
from fl_opt.experiments.runner import Outcome
from fl_opt.experiments.tables import HEADS, MET, ours, setting, spent, story, title, verdict
from fl_opt.report.html import facts
from fl_opt.report.page import Block, Cell, Code, Facts, Gallery, Notes, Page, Section, Table, Text

_TONE = {True: "better", False: "worse", None: ""}


def page(outcomes: Sequence[Outcome]) -> Page:
    """The page, in blocks."""
    rows = [(outcome, row) for outcome in outcomes for row in outcome.rows]
    judged = [row.met for _, row in rows if row.met is not None]
    lead = (
        f"{sum(judged)} of {len(judged)} thresholds met."
        if judged
        else "Held to no threshold: small settings, or other data than the thresholds are for."
    )
    unfinished = [outcome.experiment.name for outcome in outcomes if not outcome.complete]
    warnings = [f"Unfinished: {', '.join(unfinished)}."] if unfinished else []
    missed = [
        f"{outcome.experiment.name}: {row.what}, {ours(row)[0]} where {row.threshold} was asked"
        for outcome, row in rows
        if row.met is False
    ]
    summary: list[Block] = [
        Table(
            "All experiments",
            "experiment",
            ("outcome", "setting", "time"),
            [
                (
                    outcome.experiment.name,
                    [Cell(verdict(outcome)), Cell(setting(outcome)), Cell(spent(outcome))],
                )
                for outcome in outcomes
            ],
        )
    ]
    if missed:
        summary += [Text(["Thresholds that were missed:"]), Notes(missed)]
    return Page(
        title=f"{len(outcomes)} experiment{'s' * (len(outcomes) != 1)} on training methods",
        kicker="fl_opt, experiments",
        lead=[lead],
        sections=[
            Section("summary", "Summary", summary),
            *(
                Section(outcome.experiment.name, title(outcome.experiment), list(_blocks(outcome)))
                for outcome in outcomes
            ),
            Section("repeat", "How to repeat it", [Facts(list(describe().items()))]),
        ],
        warnings=warnings,
        colophon="This page is one file; it needs no network and runs no script.",
    )


def _blocks(outcome: Outcome) -> Iterator[Block]:
    one = outcome.experiment
    yield Text([*story(one), f"Source: {one.source}."])
    yield Facts(facts({name: value for name, value in vars(one).items() if value != ""}))
    if not outcome.complete:
        yield Text([f"{verdict(outcome)[0].upper()}{verdict(outcome)[1:]}: no table yet."])
        return
    yield Table(
        "Measured, with the interval over the seeds, against the threshold set before",
        "quantity",
        HEADS,
        [
            (
                row.what,
                [
                    Cell(*ours(row)),
                    Cell(row.threshold),
                    Cell(MET[row.met], tone=_TONE[row.met]),
                    Cell(row.source),
                ],
            )
            for row in outcome.rows
        ],
        note=f"{setting(outcome)}; {verdict(outcome)}.",
    )
    yield Gallery(pictures(outcome))
    yield Code(f"fl-opt reproduce {one.name}")
