"""The table of ``tuneproof methods``: every method with measured figures, and what is not offered, with the reason."""

from __future__ import annotations

import pytest

from tuneproof.methods import ADAPTERS, METHODS, NOT_OFFERED
from tuneproof.methods.told import measured, told


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_a_line_with_its_figures(name: str) -> None:
    (line,) = [line for line in told() if line.split()[:1] == [name]]
    assert METHODS[name].good_for in line
    figures = measured()["methods"].get(name)
    if figures is None:
        assert "not measured" in line
        return
    assert f"{figures['trained']:,}" in line and f"{figures['mib']:,} MiB" in line
    assert 0 < figures["trained"] <= figures["parameters"]


def test_what_was_measured_says_where_and_when() -> None:
    about = measured().get("about")
    if about is None:
        assert "Nothing was measured yet: python benchmarks/methods_table.py" in told()
        return
    assert all(about[key] for key in ("model", "rows", "commit", "date", "hardware", "versions"))
    assert about["commit"] in "\n".join(told())


def test_estimates_before_loading_are_near_what_was_measured() -> None:
    """Within a factor of four, or half a percent of all weights: they decide whether a model is refused for memory.

    Of what the method itself trains: a new head, 0.8% of this small model, trains with all of them.
    """
    far = {}
    for name, figures in measured()["methods"].items():
        own = figures["trained"] - figures["new"]
        share, guess = own / figures["parameters"], METHODS[name].trained_share
        if abs(share - guess) > 0.005 and not guess / 4 <= share <= guess * 4:
            far[name] = (share, guess)
    assert far == {}


def test_every_method_learns_at_the_rates_of_the_plan() -> None:
    """Whoever names a method and nothing else gets a model that has learnt something: the loss falls by half."""
    measured_at = measured()["methods"].items()
    still = {name: one for name, one in measured_at if not one["last"] < one["first"] / 2}
    assert still == {}


def test_reasons_are_printed() -> None:
    text = "\n".join(told())
    assert all(f"{name}; it {reason}" in text for name, reason in NOT_OFFERED.items())
    assert "before the text" in text and set(NOT_OFFERED) & set(ADAPTERS) == set()
