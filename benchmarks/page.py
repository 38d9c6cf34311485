"""The page of measured figures, made from the records and nothing else::

    python -m benchmarks.page [--check] [FOLDER]

writes docs/benchmarks.md from docs/measured/*.json; with --check it tells whether the page is what
the records give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks._record import NAMES

HEAD = """\
# Measured figures

What fl_opt promises in numbers, what was measured, and whether the promise is kept. Nothing on this
page is written by hand: `make bench` measures, leaves a record per group in
`docs/measured/` and writes the page from the records.

## How it is measured

- **Ratios, not seconds.** Speed is told in *passes*: one pass is a single-threaded sweep of
  w log2(1 + c/w) over 10^6 doubles in chunks of 16,384, timed in the same run, before and after
  everything else. A ratio travels better from machine to machine than a time.
- **The lesser of wall-clock and processor time.** They are the same on an idle machine; on a shared
  one, time taken by others is not charged to either side of a ratio. Of several turns, taken
  alternately, the least counts; the median stands beside it.
- **One thread.** BLAS runs with one thread (`OMP_NUM_THREADS=1`), as from the Makefile.
- **References are others' code.** CVXPY with Clarabel, HiGHS, a plain loop over devices in torch,
  Flower in an environment of its own. They solve the same instance to the same gap.
- **A missed target stays on the page.** "no" means just that.
- A quick run (`--quick`) takes small sizes and is held to no target; this page is made of full runs
  unless a section says otherwise.
"""


def load(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder in the order of the page."""
    paths = [folder / f"{name}.json" for name in NAMES]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(columns: list[str], rows: list[list[str]]) -> list[str]:
    return [_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows), ""]


def _met(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "**no**"


def _figures(record: dict[str, Any]) -> list[str]:
    rows = [
        [figure["what"], figure["target"], figure["measured"], _met(figure["met"])]
        for figure in record["figures"]
    ]
    return _table(["figure", "target", "measured", "met"], rows) if rows else []


def _section(record: dict[str, Any]) -> list[str]:
    here = record["environment"]
    quick = " A quick run: small sizes, no targets." if record["quick"] else ""
    lines = [
        f"## {record['title']}",
        "",
        record["about"],
        "",
        f"`{here['command']}`, {here['time'][:10]}, {here['seconds']} s, load before "
        f"{here['load_before']}.{quick}",
        "",
        *_figures(record),
    ]
    for table in record["tables"]:
        lines += [f"**{table['title']}**", "", *_table(table["columns"], table["rows"])]
    for picture in record["pictures"]:
        lines += [
            f"![{picture['description']}]({picture['path']})",
            "",
            f"*{picture['title']}*",
            "",
        ]
    for note in record["notes"]:
        lines += [note, ""]
    return lines


def _machines(records: list[dict[str, Any]]) -> list[str]:
    """One line per different machine or set of versions."""
    told: dict[str, list[str]] = {}
    for record in records:
        e = record["environment"]
        versions = ", ".join(
            f"{name} {e[name]}"
            for name in ("python", "numpy", "scipy", "torch", "cvxpy", "clarabel", "highspy")
            if name in e
        )
        text = f"{e['cpu']}, {e['cores']} cores, {e['memory']}, {e['platform']}; {versions}"
        told.setdefault(text, []).append(record["name"])
    return [f"- {', '.join(names)}: {text}" for text, names in told.items()] + [""]


def _summary(records: list[dict[str, Any]]) -> list[str]:
    """Promises kept, and those that are not, by name."""
    judged = [(r, f) for r in records for f in r["figures"] if f["met"] is not None]
    missed = [(r, f) for r, f in judged if not f["met"]]
    kept = len(judged) - len(missed)
    lines = ["## In short", "", f"{kept} of {len(judged)} promises are kept."]
    if missed:
        lines[-1] += " Not kept:"
        lines += [
            "",
            *(
                f"- {record['title']}: {figure['what']}: {figure['measured']}, "
                f"promised {figure['target']}"
                for record, figure in missed
            ),
        ]
    waiting = [name for name in NAMES if name not in {record["name"] for record in records}]
    if waiting:
        lines += ["", f"Without a record yet: {', '.join(waiting)}. Their promises are not judged."]
    return [*lines, ""]


def render(folder: Path) -> str:
    """The page as Markdown."""
    records = load(folder)
    lines = [HEAD, *_summary(records), "## Measured on", "", *_machines(records)]
    for record in records:
        lines += _section(record)
    return "\n".join(lines).rstrip() + "\n"


def told(path: Path) -> str:
    """The figures of one record for a terminal."""
    record = json.loads(path.read_text(encoding="utf-8"))
    width = max((len(figure["what"]) for figure in record["figures"]), default=0)
    lines = []
    for figure in record["figures"]:
        promise = f"  [{figure['target']}]" if figure["target"] else ""
        met = {True: "  met", False: "  MISSED", None: ""}[figure["met"]]
        lines.append(f"  {figure['what']:<{width}}  {figure['measured']}{promise}{met}")
    return "\n".join(lines)


def main() -> int:
    """Write or check the page."""
    arguments = [text for text in sys.argv[1:] if text != "--check"]
    folder = Path(arguments[0] if arguments else "docs/measured")
    target = folder.parent / "benchmarks.md"
    text = render(folder)
    if "--check" in sys.argv:
        same = target.exists() and target.read_text(encoding="utf-8") == text
        print(f"{target} is {'' if same else 'not '}what {folder} gives")
        return 0 if same else 1
    target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
