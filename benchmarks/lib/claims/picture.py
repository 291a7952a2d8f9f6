"""The picture of EP's claims: leads by encoder, accuracy against parameters; of `ep_claims`."""

from typing import TYPE_CHECKING

from lib.claims.tables import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWDED = 0.5  # percentage points


def draw(encoders: Rows, rivals: Rows, masked: str) -> "Figure":
    """Draw EP's lead on each encoder, and accuracy against parameters on the masked one."""
    from matplotlib.figure import Figure

    count = 2 if rivals else 1
    figure = Figure(figsize=(4.8 * count, 4.2), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    _draw_leads(panels[0], encoders)
    if rivals:
        _draw_front(panels[1], rivals, masked)
    return figure


def _draw_leads(axes: "Axes", encoders: Rows) -> None:
    names = list(dict.fromkeys(row["encoder"] for row in encoders))
    for shift, (method, colour) in enumerate((("linear", "tab:blue"), ("mean", "tab:orange"))):
        rows = [row for row in encoders if row["probe"] == method]
        places = [names.index(row["encoder"]) + 0.2 * shift - 0.1 for row in rows]
        values = [row["lead"] for row in rows]
        spread = [
            [row["lead"] - row["low"] for row in rows],
            [row["high"] - row["lead"] for row in rows],
        ]
        label = {"linear": "linear", "mean": "linear on the patches' mean"}[method]
        axes.errorbar(values, places, xerr=spread, fmt="o", color=colour, capsize=3,
                      label=f"EP - {label}")  # fmt: skip
    axes.axvline(0.0, color="grey", linewidth=1)
    shown = [f"{name} weights" if name == "random" else name for name in names]
    axes.set_yticks(range(len(names)), shown)
    axes.invert_yaxis()
    axes.margins(y=0.25)
    axes.set_xlabel("top-1, percentage points [95 %]")
    axes.set_title("EP's lead over linear probing")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8)


def _draw_front(axes: "Axes", rivals: Rows, masked: str) -> None:
    for row in rivals:
        colour = "tab:red" if row["probe"] == "ep" else "tab:gray"
        axes.plot(row["parameters"], row["top-1, %"], "o", color=colour)
        # Of two that are near each other the smaller one is named on its left.
        crowded = any(
            row["parameters"] < other["parameters"] < 1.3 * row["parameters"]
            and abs(row["top-1, %"] - other["top-1, %"]) < CROWDED
            for other in rivals
        )
        axes.annotate(
            row["probe"], (row["parameters"], row["top-1, %"]), textcoords="offset points",
            xytext=(-5, -3) if crowded else (4, 3), ha="right" if crowded else "left", fontsize=8,
            color=colour,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("trained parameters, classifier included")
    axes.set_ylabel("top-1, %")
    axes.set_title(f"Every pooling on {masked}")
    axes.grid(alpha=0.3)
