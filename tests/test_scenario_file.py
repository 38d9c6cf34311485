"""What a person reads when a scenario file is wrong, and the keys that the manual must name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl_opt import InvalidInput
from fl_opt.scenario import Scenario, keys_table, template
from fl_opt.scenario.reading import keys, settings_of_text

TEXT = """\
name = "mine"
[radio]
carrier_hz = 2e9
band_hz = 1e6
[cell]
radius_m = 300.0
base_height_m = 25.0
[channel]
path_loss = "uma"
[devices]
count = 12
[[devices.class]]
name = "phone"
cpu_max_hz = 2e9
power_max_dbm = 23
[[devices.class]]
name = "watch"
cpu_max_hz = 5e8
power_max_dbm = 17
"""
CLASS = "power_max_dbm = 17"


def message(old: str, new: str) -> str:
    text = TEXT.replace(old, new)
    assert text != TEXT
    with pytest.raises(InvalidInput) as caught:
        Scenario.from_text(text, "mine.toml")
    return str(caught.value)


def test_a_good_file_is_read() -> None:
    assert Scenario.from_text(TEXT).size == 12


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        pytest.param(
            "cpu_max_hz = 5e8",
            "cpu_max_hz = -2e9",
            [
                "mine.toml: devices.class[1].cpu_max_hz is -2e+09 Hz",
                "> 0",
                "[Hz]",
                "fastest CPU clock$",
            ],
            id="range, in a class",
        ),
        pytest.param(
            "band_hz = 1e6",
            'band_hz = "1 MHz"',
            ['radio.band_hz is "1 MHz"', "a number"],
            id="text",
        ),
        pytest.param("band_hz = 1e6", "band_hz = true", ["band_hz is true;"], id="bool"),
        pytest.param("band_hz = 1e6", "band_hz = inf", ["band_hz is inf Hz"], id="infinite"),
        pytest.param("band_hz = 1e6", "band_hz = nan", ["band_hz is nan Hz"], id="nan"),
        pytest.param("band_hz = 1e6", "band_hz = 1979-05-27", ['"1979-05-27"'], id="date"),
        pytest.param(
            "band_hz = 1e6",
            "",
            ["radio.band_hz is missing", "add band_hz = 5e+6", "uplink band"],
            id="missing",
        ),
        pytest.param(
            "band_hz = 1e6",
            "bandwidth_hz = 1e6",
            ["radio.bandwidth_hz is no key", "did you mean band_hz?", "1 more"],
            id="misspelt key",
        ),
        pytest.param(
            "[radio]", "[radios]", ["radios is no key", "did you mean radio?"], id="misspelt table"
        ),
        pytest.param(
            "[radio]",
            "[radio]\nradius_m = 3.0",
            ["radio.radius_m", "belongs elsewhere: cell.radius_m"],
            id="wrong table",
        ),
        pytest.param(
            "[radio]",
            "[radio]\nqqqq = 3.0",
            ["radio.qqqq", "carrier_hz", "remove it"],
            id="unknown",
        ),
        pytest.param(
            CLASS,
            CLASS + "\nbatery_j = 3",
            ["devices.class[1].batery_j", "battery_j?"],
            id="in list",
        ),
        pytest.param(
            'path_loss = "uma"',
            'path_loss = "urban"',
            ['channel.path_loss is "urban"', '"uma", "umi", "inh_mixed"'],
            id="choice",
        ),
        pytest.param('"mine"', '""', ['name is ""', "a text length >= 1"], id="empty text"),
        pytest.param("count = 12", "count = 2.5", ["count is 2.5", "whole number"], id="not whole"),
        pytest.param("count = 12", "", ["devices.count is missing", "add count"], id="no count"),
        pytest.param(
            CLASS, CLASS + "\ncpu_min_hz = 1e9", ["class[1].cpu_min_hz", "5e+08"], id="min over max"
        ),
        pytest.param(
            'path_loss = "uma"',
            'path_loss = "classical"',
            ["channel.los", "never"],
            id="classical has no states",
        ),
        pytest.param(
            'path_loss = "uma"',
            'path_loss = "inh_open"',
            ["cell.radius_m is 300 m", "at most 150"],
            id="beyond the table",
        ),
        pytest.param(
            "radius_m = 300.0",
            "radius_m = 300.0\nmin_distance_m = 5.0",
            ["cell.min_distance_m is 5 m", "at least 10"],
            id="nearer than the table",
        ),
        pytest.param(
            "radius_m = 300.0",
            "radius_m = 30.0\nmin_distance_m = 50.0",
            ["cell.min_distance_m", "below radius_m = 30"],
            id="hole wider than the cell",
        ),
        pytest.param(
            "base_height_m = 25.0",
            "base_height_m = 25.0\ndevice_height_m = 1.2",
            ["cell.device_height_m is 1.2 m", "at least 1.5"],
            id="height",
        ),
        pytest.param(
            "radius_m = 300.0",
            'radius_m = 300.0\nsite = "busiest"',
            ["radius_m and site", "exactly one"],
            id="two layouts",
        ),
        pytest.param("radius_m = 300.0", "", ["positions_m, site is missing"], id="no layout"),
        pytest.param(
            "radius_m = 300.0",
            "positions_m = [[1.0, 2.0], [3.0]]",
            ["cell.positions_m[1][1] is missing", "[east, north]"],
            id="half a place",
        ),
        pytest.param(
            "radius_m = 300.0",
            "positions_m = [[1.0, 2.0]]",
            ["mine.toml: devices.count is 12", "at most 1"],
            id="more devices than places",
        ),
        pytest.param(
            "[channel]",
            '[fading]\nkind = "rician"\n[channel]',
            ["fading.rician_k_db is missing", "9 dB"],
            id="no Rice factor",
        ),
        pytest.param(
            "[channel]",
            "[fading]\nrician_k_db = 9\n[channel]",
            ["fading.rician_k_db is 9 dB"],
            id="Rice factor in vain",
        ),
        pytest.param(
            "[channel]",
            "[mobility]\nspeed_min_m_s = 3\nspeed_max_m_s = 2\ninterval_s = 1\n[channel]",
            ["mobility.speed_min_m_s is 3 m/s", "speed_max_m_s = 2"],
            id="speeds",
        ),
        pytest.param(
            "[channel]",
            '[data]\nsizes = "explicit"\n[channel]',
            ["data.samples is missing"],
            id="data",
        ),
        pytest.param(
            "[channel]",
            '[data]\nsizes = "explicit"\nsamples = [3, 0]\n[channel]',
            ["data.samples is [3, 0]", "at least one"],
            id="no samples",
        ),
        pytest.param(
            "[channel]",
            '[data]\nsizes = "explicit"\nsamples = [3, 4]\n[channel]',
            ["data.samples is 2 numbers", "each of 12 devices"],
            id="too few sizes",
        ),
        pytest.param("[radio]", "[radio", ["mine.toml is not TOML", "line 2"], id="not TOML"),
        pytest.param("[[devices.class]]", "[devices.class]", ["mine.toml"], id="single brackets"),
    ],
)
def test_message_names_place_value_range_and_cure(old: str, new: str, parts: list[str]) -> None:
    text = message(old, new)
    for part in parts:
        assert text.endswith(part[:-1]) if part.endswith("$") else part in text


def test_missing_class_and_empty_file() -> None:
    with pytest.raises(
        InvalidInput, match=r"devices\.class is missing.*add \[\[devices\.class\]\]"
    ):
        Scenario.from_text(TEXT[: TEXT.index("[[")])
    with pytest.raises(InvalidInput, match=r"devices\.class is empty.*double brackets"):
        Scenario.from_text(TEXT[: TEXT.index("[[")] + "class = []")
    with pytest.raises(InvalidInput, match=r"scenario: name is missing.*more to mend"):
        Scenario.from_text("")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.toml is not readable"):
        Scenario.from_toml(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"binary\.toml is not readable"):
        Scenario.from_toml(tmp_path / "binary.toml")


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"one of macro, melbourne.*did you mean urban\?"):
        Scenario.named("urbann")
    with pytest.raises(InvalidInput, match="from_toml"):
        Scenario.named("zzz")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"bandhz": 1.0}, r"bandhz is no key.*did you mean band_hz\?"),
        ({"xyzzy": 1.0}, r"xyzzy is no key.*docs/scenarios\.md"),
        ({"band_hz": -3.0}, r"mine, changed: radio\.band_hz is -3 Hz"),
        ({"power_max_w": 0.0}, r"power_max_w is 0 W; expected a number > 0"),
        ({"positions_m": [[1.0, 1.0]] * 12, "radius_m": None, "mobility": {
            "speed_min_m_s": 1.0, "speed_max_m_s": 1.0, "interval_s": 1.0}},
         r"mine: mobility.*two different places"),
    ],
)  # fmt: skip
def test_replace_refuses(changes: dict[str, Any], pattern: str) -> None:
    with pytest.raises(InvalidInput, match=pattern):
        Scenario.from_text(TEXT).replace(**changes)


@pytest.mark.parametrize(
    ("factors", "pattern"),
    [
        ({"noise_figure_db": 2.0}, r"radio\.noise_figure_db is 0|5.*scale power_max_w"),
        ({"path_loss": 2.0}, r"channel\.path_loss is 'uma'"),
        ({"battery_j": 2.0}, r"devices\.class\.battery_j is not set"),
        ({"band_hz": 0.0}, r"band_hz is 0 Hz"),
        ({"band_hz": np.nan}, r"band_hz is nan Hz"),
    ],
)
def test_scale_refuses(factors: dict[str, float], pattern: str) -> None:
    with pytest.raises(InvalidInput, match=pattern):
        Scenario.from_text(TEXT).scale(**factors)


def test_template_is_a_scenario_and_names_every_key() -> None:
    text = template()
    assert Scenario.from_text(text).size == 30
    for path, field in keys():
        name = path.rpartition(".")[2]
        assert f"{name} = " in text or f"{path}]" in text
        assert field.description
    assert max(len(line) for line in text.splitlines()) <= 100


def test_template_is_a_scenario_with_all_optional_keys_too() -> None:
    """Uncomment every key; of the three layouts keep one, and drop the explicit sizes.

    The settings are read, not the scenario: its phones need data from elsewhere.
    """
    lines = []
    for line in template().splitlines():
        bare = line.removeprefix("# ")
        is_key = bare.startswith("[") or (" = " in bare and bare.split(" = ")[0].isidentifier())
        lines.append(bare if is_key else "")
    dropped = ("positions_m", "site", "samples")
    text = "\n".join(line for line in lines if not line.startswith(dropped))
    read = settings_of_text(text, "template")
    assert read.mobility is not None
    assert read.devices.benchmark is not None
    assert read.downlink is not None


def test_manual_holds_the_table_of_keys() -> None:
    manual = Path(__file__).parent.parent / "docs" / "scenarios.md"
    assert keys_table() in manual.read_text(encoding="utf-8"), (
        "write fl_opt.scenario.keys_table() into docs/scenarios.md"
    )
