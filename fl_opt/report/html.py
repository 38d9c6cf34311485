"""The page of a comparison: what was asked, the answer, who got what and why, how to repeat it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_opt.report import proofs, views, words
from fl_opt.report.ink import look
from fl_opt.report.page import (
    Block,
    Code,
    Entry,
    Facts,
    Gallery,
    Key,
    Notes,
    Page,
    Section,
    Text,
)
from fl_opt.report.scales import sci
from fl_opt.units import bare_name, quantity, unit_of

if TYPE_CHECKING:
    from fl_opt.comparison import Report

MOST_NOTES = 12
"""Remarks of the simulator that are printed; the others are counted."""


def render(report: Report) -> str:
    """The page as HTML text."""
    return page(report).render()


def write(report: Report, path: str | Path) -> Path:
    """The page as a file; folders that are missing are made."""
    return page(report).write(path)


def page(report: Report) -> Page:
    """The page of a comparison, in blocks, to be rendered or added to."""
    name = report.scenario.get("name", "")
    warnings = []
    if not report.complete:
        asked = len(report.arms) * len(report.seeds)
        warnings.append(
            f"Unfinished: {len(report.traces)} of {asked} runs. What follows is about these alone."
        )
    lead, verdicts = words.answer(report) if report.traces else ("No run was finished.", [])
    sections = [Section("asked", "What was asked", list(_asked(report)))]
    if report.traces:
        sections += [
            Section("learning", "Learning over time and energy", list(_learning(report))),
            Section("arms", "The arms in numbers", [words.arms_table(report)]),
            Section("served", "Who is served", list(_served(report))),
            Section("bandwidth", "Who gets which bandwidth, and why", list(_bandwidth(report))),
            Section("claims", "Claimed and realised", [Gallery(views.claims(report))]),
            Section("proven", "What is proven, and what failed", list(_proven(report))),
            Section("caveats", "Before you quote a number", [Notes(words.caveats(report))]),
        ]
    sections.append(Section("repeat", "How to repeat it", list(_repeat(report))))
    return Page(
        title=f"{len(report.arms)} polic{'y' if len(report.arms) == 1 else 'ies'} compared"
        + (f": {name}" if name else ""),
        kicker="fl_opt, comparison of policies",
        lead=[lead],
        verdicts=[Entry(arm, look(report.arms.index(arm)), text) for arm, text in verdicts],
        sections=sections,
        warnings=warnings,
        colophon=f"Made by fl_opt {report.environment.get('fl_opt', '')}. This page is one file; "
        "it needs no network and runs no script.",
    )


def facts(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Plain data as names and values for people, units from the names; None is left out.

    >>> facts({"band_hz": 5e6, "cell": {"radius_m": 500}})
    [('band', '5 MHz'), ('cell radius', '500 m')]
    """
    pairs = []
    for name, value in data.items():
        if value is None:
            continue
        unit = unit_of(name)
        title = f"{prefix} {bare_name(name).replace('_', ' ')}".strip()
        if isinstance(value, Mapping):
            pairs += facts(value, title)
        elif isinstance(value, bool):
            pairs.append((title, "yes" if value else "no"))
        elif isinstance(value, int | float):
            text = quantity(value, unit)
            if "e" in text.partition(" ")[0]:
                text = f"{sci(value, 4)} {unit}"
            pairs.append((title, text if unit else f"{value:.6g}"))
        elif isinstance(value, list | tuple):
            texts = [text for item in value for _, text in facts({name: item})]
            pairs.append((title, ", ".join(texts) or "none"))
        else:
            pairs.append((title, str(value)))
    return pairs


def _asked(report: Report) -> Iterator[Block]:
    baseline = report.arms[0]
    description = str(report.scenario.get("description", ""))
    yield Text(
        [
            *([f"{description}."] if description else []),
            f"Which arm learns more for its time and its energy? Differences are taken from "
            f"{baseline}, seed by seed: in a seed all arms meet the same devices, channels, data "
            "and initial model.",
        ]
    )
    setup = {arm: report.setup.get(arm, "").partition("\n") for arm in report.arms}
    yield Key(
        [Entry(arm, look(i), setup[arm][0], setup[arm][2]) for i, arm in enumerate(report.arms)]
    )
    yard = report.yardstick
    goal = "none"
    if math.isfinite(yard.accuracy):
        goal = f"{yard.accuracy:.4f} ({yard.rule})"
    yield Facts(
        [
            ("rounds", str(report.rounds)),
            ("seeds", ", ".join(map(str, report.seeds))),
            ("target accuracy", goal),
            ("time that all runs cover", quantity(yard.time_s, "s")),
            ("energy that all runs cover", quantity(yard.energy_j, "J")),
        ],
        "Comparison",
    )
    about = {name: text for name, text in report.scenario.items() if name != "description"}
    yield Facts(facts(about), "Scenario")
    yield Facts(facts(report.task), "Task")


def _learning(report: Report) -> Iterator[Block]:
    yield Gallery(views.learning(report))
    pictures = views.differences(report)
    if pictures:
        yield Gallery(pictures)
        yield words.paired_table(report)


def _served(report: Report) -> Iterator[Block]:
    yield Text(
        [
            f"The cell of seed {report.traces[0].seed} from above, once for every arm. The cross "
            "is the base station. A filled mark grows with the share of rounds in which the "
            "update of the device arrived; a small ring was never served. A triangle is a weak "
            "link: even at full power, noise outweighs its signal over an equal share of the band."
        ]
    )
    yield Gallery(views.cells(report), small=True)
    yield Gallery([views.participation(report), views.costs(report)])


def _bandwidth(report: Report) -> Iterator[Block]:
    yield Text(
        [
            "The first round of the first seed. Beside the bandwidth of each device stands what "
            "one more hertz would be worth to it: the upload energy that it would save if it kept "
            "its airtime. Where all dots of an arm lie level, no hertz could be moved from one "
            "device to another to save energy, and that common level is the shadow price of the "
            "band. A device at full power lies below it: it needs its band to get through at all. "
            "An arm that minimises time has other reasons for its shares."
        ]
    )
    yield Gallery([views.bandwidth(report), views.worth(report)])
    table = proofs.prices(report)
    if table is not None:
        yield table


def _proven(report: Report) -> Iterator[Block]:
    table = proofs.certificates(report)
    if table is None:
        yield Text(["No arm solved a problem in its first round, so there is nothing to certify."])
    else:
        yield table
    lines = words.remarks(report)
    if lines:
        more = len(lines) - MOST_NOTES
        yield Text(["What went otherwise than asked:"])
        yield Notes(lines[:MOST_NOTES] + ([f"and {more} more"] if more > 0 else []))


def _repeat(report: Report) -> Iterator[Block]:
    command = report.environment.get("command", "")
    if command:
        yield Code(command)
    yield Facts([(name, text) for name, text in report.environment.items() if name != "command"])
