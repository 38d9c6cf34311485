"""Open reports in a headless Chromium and fail on what a reader would trip over.

    python tests/browser/check_report.py [--shots FOLDER] [--figures N] [PAGE.html ...]

Every page is opened at desktop and phone width, light and dark. It fails on an error in the
console, a request to anywhere, a breach of the content security policy, a page that is wider than
its window, figures that are missing, empty, cut off or with labels on top of each other, and
landmarks that overlap. Without a page, two synthetic reports are made and checked.

Exit codes: 0 all is well; 1 something is wrong, said in a line each; 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from devtools import Browser, BrowserError, Page

VIEWS = (
    ("desktop", 1280, 900, False, "light"),
    ("desktop", 1280, 900, False, "dark"),
    ("phone", 390, 844, True, "light"),
    ("phone", 390, 844, True, "dark"),
)
MEASURE = """(() => {
  const box = e => { const r = e.getBoundingClientRect();
    return {left: r.left, top: r.top, right: r.right, bottom: r.bottom}; };
  const root = document.documentElement;
  const wide = [...document.body.querySelectorAll('*')].filter(e =>
    !e.closest('.scroll, pre, svg, .said, .skip') && box(e).right > root.clientWidth + 1);
  return {
    scroll: root.scrollWidth, client: root.clientWidth,
    wide: wide.slice(0, 3).map(e => e.tagName.toLowerCase() + '.' + e.className),
    ids: [...document.querySelectorAll('[id]')].map(e => e.id),
    heading: document.querySelectorAll('h1').length,
    landmarks: ['header', 'main', 'footer'].map(n => document.body.querySelector(':scope > ' + n))
      .filter(Boolean).map(e => ({name: e.tagName.toLowerCase(), ...box(e)})),
    figures: [...document.querySelectorAll('figure')].map(f => {
      const svg = f.querySelector('svg');
      return {id: f.id, svg: svg && box(svg),
        shapes: f.querySelectorAll('svg path, svg use').length,
        texts: svg ? [...svg.querySelectorAll('text')].filter(t => t.textContent.trim())
          .map(t => ({text: t.textContent.trim(), size: parseFloat(getComputedStyle(t).fontSize) *
            svg.getBoundingClientRect().width / svg.viewBox.baseVal.width, ...box(t)})) : []};
    }),
  };
})()"""
SMALLEST_TEXT_PX = 7.5
ROOM_PX = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the pages; gives the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="HTML files; none: synthetic reports")
    parser.add_argument("--figures", type=int, default=1, help="least number of figures of a page")
    parser.add_argument("--shots", type=Path, help="folder for screenshots and a printed PDF")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            pages = options.pages or _synthetic(Path(folder))
            missing = [path for path in pages if not path.is_file()]
            if missing:
                print(f"check-report: no such file: {', '.join(map(str, missing))}")
                return 2
            with Browser() as browser:
                wrong = [
                    f"{path}: {text}"
                    for path in pages
                    for text in check(browser, path, options.figures, options.shots)
                ]
    except BrowserError as error:
        print(f"check-report: could not be checked: {error}")
        return 2
    for text in wrong:
        print(f"check-report: {text}")
    if not wrong:
        print(f"check-report: {len(pages)} page(s) well at {len(VIEWS)} views each")
    return 1 if wrong else 0


def _synthetic(folder: Path) -> list[Path]:
    """An ordinary report, and one with many arms, long and hostile names, and a single seed."""
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests.parent), str(tests)]
    from synthetic_report import report

    from fl_opt.report import html

    names = ["<b>&\"'</b> $x_1$", "word" * 30, "many short words " * 8, "短い名前", "_"]
    hard = report([*names, *(f"arm {i}" for i in range(6))], seeds=1, size=300, rounds=25)
    return [
        html.write(report(), folder / "ordinary.html"),
        html.write(hard, folder / "difficult.html"),
    ]


def check(browser: Browser, path: Path, figures: int, shots: Path | None) -> list[str]:
    """What is wrong with a page, a line each, in every view."""
    wrong = []
    page = browser.page()
    for device, width, height, mobile, scheme in VIEWS:
        page.view(width, height, scheme, mobile=mobile)
        events = page.open(path.resolve().as_uri())
        seen = page.evaluate(MEASURE)
        lines = [*_events(events), *_layout(seen, figures), *_figures(seen)]
        wrong += [f"{device}, {scheme}: {line}" for line in lines]
        if shots is not None:
            _shoot(page, shots, f"{path.stem}-{device}-{scheme}", seen["client"])
    if shots is not None:
        pdf = page.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
        (shots / f"{path.stem}.pdf").write_bytes(base64.b64decode(pdf))
    return list(dict.fromkeys(wrong))


def _events(events: Sequence[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        data = event.get("params", {})
        if event["method"] == "Log.entryAdded" and data["entry"]["level"] in ("error", "warning"):
            yield f"console: {data['entry']['text']}"
        elif event["method"] == "Runtime.consoleAPICalled" and data["type"] in ("error", "assert"):
            yield f"console: {data['args']}"
        elif event["method"] == "Runtime.exceptionThrown":
            yield f"exception: {data['exceptionDetails'].get('text')}"
        elif event["method"] == "Network.requestWillBeSent":
            url = data["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                yield f"asks for {url}"


def _layout(seen: dict[str, Any], figures: int) -> Iterator[str]:
    if seen["scroll"] > seen["client"]:
        yield (
            f"{seen['scroll']} px wide in a window of {seen['client']} px; "
            f"wider than it: {', '.join(seen['wide']) or 'unknown'}"
        )
    if seen["heading"] != 1:
        yield f"{seen['heading']} first headings, expected one"
    twice = {name for name in seen["ids"] if seen["ids"].count(name) > 1}
    if twice:
        yield f"ids used more than once: {', '.join(sorted(twice)[:5])}"
    names = [mark["name"] for mark in seen["landmarks"]]
    for needed in ("header", "main"):
        if needed not in names:
            yield f"no {needed} landmark"
    for above, below in zip(seen["landmarks"], seen["landmarks"][1:], strict=False):
        if below["top"] < above["bottom"] - 1:
            yield f"{below['name']} overlaps {above['name']}"
    if len(seen["figures"]) < figures:
        yield f"{len(seen['figures'])} figures, expected at least {figures}"


def _figures(seen: dict[str, Any]) -> Iterator[str]:
    for figure in seen["figures"]:
        name, svg = figure["id"] or "a figure", figure["svg"]
        if svg is None or svg["right"] - svg["left"] < 50 or svg["bottom"] - svg["top"] < 20:
            yield f"{name}: no drawing, or one without size"
            continue
        if not figure["shapes"] and not figure["texts"]:
            yield f"{name}: nothing is drawn"
        texts = figure["texts"]
        for text in texts:
            beyond = max(
                svg["left"] - text["left"],
                text["right"] - svg["right"],
                svg["top"] - text["top"],
                text["bottom"] - svg["bottom"],
            )
            if beyond > ROOM_PX:
                yield f"{name}: {text['text']!r} reaches {beyond:.0f} px out of the drawing"
            if text["size"] < SMALLEST_TEXT_PX:
                yield f"{name}: {text['text']!r} is {text['size']:.1f} px small"
        for i, one in enumerate(texts):
            for other in texts[:i]:
                across = min(one["right"], other["right"]) - max(one["left"], other["left"])
                down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
                if across > ROOM_PX and down > ROOM_PX:
                    yield f"{name}: {one['text']!r} lies on {other['text']!r}"


def _shoot(page: Page, folder: Path, name: str, width: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    height = page.evaluate("document.documentElement.scrollHeight")
    picture = page.call(
        "Page.captureScreenshot",
        captureBeyondViewport=True,
        clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
    )
    (folder / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    sys.exit(main())
