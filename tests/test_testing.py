from __future__ import annotations

import random
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl_opt import Allocation, Network, Round
from fl_opt.policies import BestChannel, Everyone, Random, RoundRobin
from fl_opt.policies.seats import equal_share
from fl_opt.testing import BrokenPolicy, check_policy


class Plain:
    """A sound policy to break in one place: the most samples first, three seats."""

    def start(self, size: int, rng: np.random.Generator) -> Any:
        return None

    def line(self, network: Network) -> Any:
        return np.argsort(-network.samples)

    def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
        return equal_share(round.network, self.line(round.network), 3), memory


def findings_of(policy: Any, **options: Any) -> str:
    with pytest.raises(BrokenPolicy) as caught:
        check_policy(policy, **options)
    assert str(caught.value).startswith(f"{type(policy).__name__} breaks ")
    return "\n".join(caught.value.findings)


def broken(change: Callable[[Allocation, Network], Any]) -> Any:
    """`Plain` with its answer spoilt."""

    class Spoilt(Plain):
        def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
            allocation, memory = super().decide(round, memory)
            return change(allocation, round.network), memory

    return Spoilt()


@pytest.mark.parametrize("policy", [Plain(), Everyone(), BestChannel(count=2), Random(count=2)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sound_policy_passes_in_any_worlds(policy: Any, seed: int) -> None:
    check_policy(policy, seed=seed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a, n: a.replace(bandwidth_hz=1.01 * a.bandwidth_hz),
            r"gives out 1.01 MHz of 1 MHz \(world: five devices, round 0\), and \d+ times more",
        ),
        (
            lambda a, n: a.replace(power_w=1.01 * a.power_w),
            r"device \d sends with \d+\.?\d* mW; its power_max_w is \d+\.?\d* mW",
        ),
        (
            lambda a, n: a.replace(cpu_hz=1.01 * a.cpu_hz),
            r"device \d computes at .*Hz; its cpu_max_hz is .*Hz",
        ),
        (
            lambda a, n: a.replace(cpu_hz=0.05 * a.cpu_hz),
            r"computes at .*Hz, below its cpu_min_hz of",
        ),
        (
            lambda a, n: a.replace(
                selected=np.ones(n.size, bool),
                bandwidth_hz=n.band_hz / n.size,
                power_w=n.power_max_w,
                cpu_hz=n.cpu_max_hz,
            ),
            r"selects device \d, which never finishes: no rate or no clock",
        ),
        (
            lambda a, n: a.replace(deadline_s=1e-3),
            r"finishes at .*s, after the deadline_s = 1 ms that the answer itself sets",
        ),
        (
            lambda a, n: a.replace(upload_s=1e-6),
            r"claims an upload_s of 1 us for device \d; at its rate it takes",
        ),
        (
            lambda a, n: a.replace(power_w=np.where(a.selected, np.inf, 0.0)),
            r"power_w of device \d is infinite",
        ),
        (
            lambda a, n: a.replace(bandwidth_hz=np.where(a.selected, np.nan, 0.0)),
            r"decide raises InvalidInput: bandwidth_hz\[\d\] is nan",
        ),
        (lambda a, n: a.selected, r"decide allocates a ndarray; expected an Allocation"),
        (
            lambda a, n: Allocation.none(n.size + 1),
            r"decide answers for 6 devices; the round has 5",
        ),
    ],
)
def test_a_fault_of_an_answer_is_told_in_words(
    change: Callable[[Allocation, Network], Any], words: str
) -> None:
    found = findings_of(broken(change))
    assert re.search(words, found), found


def test_energy_beyond_the_battery_is_told() -> None:
    class Careless(Plain):
        def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
            rich = round.network.replace(energy_j=np.inf)
            return equal_share(rich, self.line(rich), 3), memory

    assert "spends" in findings_of(Careless())
    assert "its energy_j is" in findings_of(Careless())


def test_all_faults_are_told_at_once() -> None:
    def worse(allocation: Allocation, network: Network) -> Allocation:
        return allocation.replace(
            bandwidth_hz=2.0 * allocation.bandwidth_hz, power_w=2.0 * allocation.power_w
        )

    found = findings_of(broken(worse))
    assert "gives out" in found
    assert "sends with" in found


def test_what_is_no_policy_is_told_before_it_is_tried() -> None:
    class Half:
        needs = "update_norm"

    found = findings_of(Half())
    assert "has no method start(size, rng)" in found
    assert "has no method decide(round, memory)" in found
    assert "expected a tuple of names of signals" in found


def test_an_answer_without_memory_is_told() -> None:
    class Forgets(Plain):
        def decide(self, round: Round, memory: Any) -> Any:
            return super().decide(round, memory)[0]

    assert "returns Allocation; expected (Allocation, memory)" in findings_of(Forgets())


def test_an_exception_is_told_with_its_world() -> None:
    class Fragile(Plain):
        def line(self, network: Network) -> Any:
            if network.size == 1:
                raise ZeroDivisionError("nobody to compare with")
            return super().line(network)

    found = findings_of(Fragile())
    assert "ZeroDivisionError: nobody to compare with (world: a single device)" in found


def test_memory_changed_in_place_is_told() -> None:
    class Scribbles(Plain):
        def start(self, size: int, rng: np.random.Generator) -> Any:
            return np.zeros(size)

        def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
            allocation = equal_share(round.network, np.lexsort((-round.network.gain, memory)), 2)
            memory += allocation.selected
            return allocation, memory

    assert "changes its memory in place" in findings_of(Scribbles())


def test_hidden_state_is_told() -> None:
    class Counts(Plain):
        calls = 0

        def line(self, network: Network) -> Any:
            self.calls += 1
            return np.roll(super().line(network), self.calls)

    assert "keeps state of its own" in findings_of(Counts())


def test_inputs_changed_in_place_are_told() -> None:
    class Normalises(Plain):
        needs = ("update_norm",)

        def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
            norm = round.signals["update_norm"]
            norm /= norm.sum()
            return equal_share(round.network, np.argsort(-norm), 3), memory

    assert "writes into its inputs" in findings_of(Normalises())


@pytest.mark.parametrize(
    "draw",
    [lambda size: np.random.rand(size), lambda size: [random.random() for _ in range(size)]],  # noqa: NPY002
    ids=["numpy", "random"],
)
def test_the_global_random_state_is_watched(draw: Callable[[int], Any]) -> None:
    class Gambles(Plain):
        def line(self, network: Network) -> Any:
            return np.argsort(draw(network.size))

    found = findings_of(Gambles())
    assert "draws from the global random state; use round.rng" in found
    assert "answers differently when the same world is played again" in found


def test_an_order_by_number_is_told_unless_it_is_meant() -> None:
    class FirstThree(Plain):
        def line(self, network: Network) -> Any:
            return np.arange(network.size)

    assert "when the devices are numbered otherwise" in findings_of(FirstThree())
    check_policy(FirstThree(), symmetric=False)
    assert "numbered otherwise" in findings_of(RoundRobin(count=2))


def test_lots_that_favour_numbers_are_told() -> None:
    class Loaded(Plain):
        def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
            network = round.network
            lots = round.rng.random(network.size) + 0.1 * np.arange(network.size)
            return equal_share(network, np.argsort(lots), 3), memory

    assert "draws by number: a device is taken in" in findings_of(Loaded())


def test_the_policy_of_the_example_is_sound() -> None:
    example = Path(__file__).parent.parent / "examples" / "own_policy.py"
    policy = runpy.run_path(str(example))["MostData"]
    check_policy(policy(count=3))
