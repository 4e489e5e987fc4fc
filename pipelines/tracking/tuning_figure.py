"""The picture of a tuning: each trial's objective, the best so far, and how each parameter goes with the objective."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

_LEAST = 4  # of fewer trials a rank correlation says nothing


def draw_tuning(trials: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of TrainingJobSummaries, as SageMaker gives them; nothing if no trial has an objective."""
    found = [(trial["TrainingJobName"], trial.get("TunedHyperParameters") or {}, _objective(trial)) for trial in trials]
    done = [(name, tuned, value) for name, tuned, value in sorted(found, key=lambda one: one[0]) if value is not None]
    if not done:
        return b""
    import matplotlib.figure
    import numpy as np

    from steps.core.html.drawing import PAPER, style

    values = np.array([value for _, _, value in done])
    numbers = np.arange(1, len(values) + 1)
    ranked = correlations([tuned for _, tuned, _ in done], values.tolist()) if len(values) >= _LEAST else {}
    with style(PAPER, "tuning"):
        size = (4.2 + 3.4 * bool(ranked), 2.8)
        figure = matplotlib.figure.Figure(figsize=size, dpi=160, layout="constrained")
        axes = figure.subplots(1, 1 + bool(ranked), squeeze=False)[0]
        axes[0].plot(numbers, np.maximum.accumulate(values), color=PAPER["soft"], drawstyle="steps-post", label="best")
        axes[0].plot(numbers, values, "o", color=PAPER["new"], markersize=4, label="trial")
        axes[0].xaxis.get_major_locator().set_params(integer=True)
        axes[0].set(xlabel="trial", ylabel="objective", title="Objective by trial")
        axes[0].legend(frameon=False)
        if ranked:
            names = sorted(ranked, key=lambda name: abs(ranked[name]))
            axes[1].barh(names, [ranked[name] for name in names], color=PAPER["new"])
            axes[1].axvline(0, color=PAPER["soft"], linewidth=0.6)
            axes[1].set(
                xlim=(-1, 1),
                xticks=(-1, -0.5, 0, 0.5, 1),
                xlabel="rank correlation with the objective",
                title="Importance",
            )
        picture = io.BytesIO()
        figure.savefig(picture, format="png", facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def correlations(tuned: Sequence[Mapping[str, str]], objectives: Sequence[float]) -> dict[str, float]:
    """Return Spearman's correlation of each parameter with the objective; 0 for one that was the same in all trials.

    A parameter that is no number in some trial is left out.
    """
    import pandas as pd

    columns = pd.DataFrame(list(tuned)).apply(pd.to_numeric, errors="coerce").dropna(axis="columns")
    ranks, target = columns.rank(), pd.Series(objectives).rank()
    varied = ranks.loc[:, ranks.std() > 0] if target.std() > 0 else ranks.iloc[:, :0]
    return dict.fromkeys(map(str, ranks), 0.0) | {str(name): float(varied[name].corr(target)) for name in varied}


def _objective(trial: Mapping[str, Any]) -> float | None:
    value = (trial.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value")
    return None if value is None else float(value)
