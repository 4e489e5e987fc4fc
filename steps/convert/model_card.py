"""The card for people in a bundle, in the sections of model cards (Mitchell et al., 2019, arXiv:1810.03993)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from steps.core.gate.clustered_errors import Rate
from steps.core.gate.slices import Slice, Status
from steps.core.html.text import percent, short
from steps.evaluate.evaluation import Evaluation
from steps.evaluate.report.model import Origin
from steps.evaluate.report.views import dataset_line, fired_findings, snapshot

_MEANINGFUL = re.compile(r"([\\`*_{}\[\]<>#+!|~&$:@./])")
_SLICES = 12

_ETHICS = """
- A screenshot may show anything that a person has on the screen: messages, health, money, and what others wrote to that
  person without knowing of it. Whoever uses this model needs their informed consent or another basis in law, has to
  assess the risk to them beforehand, and must not use it to watch people covertly.
- The model scores on the phone. What it flags is seen by people: show it to as few as possible, for as short as
  possible, and let nobody be judged by a score alone, without a person's review and a way to object.
- Every false alarm shows a private screen to reviewers for nothing: {alarms} of 100,000 negatives by measurement, and
  at most {most} by what is proven.
- Reviewers may see what burdens them, and need support.
- Errors may fall on some people more than on others. Only the slices above were measured; who the people behind the
  screens are is not in the data."""


def model_card(
    evaluation: Evaluation,
    contract: Mapping[str, Any],
    *,
    validation: Mapping[str, Any],
    classes: tuple[str, str],
    origin: Origin,
    synthetic: bool,
) -> str:
    """Return `MODEL_CARD.md`; `validation` is what ValidateData found, `classes` name the negative and the positive.

    Raises ValueError for a model that was not measured.
    """
    verdict = evaluation.verdict
    fpr, tpr, limits = verdict.fpr, verdict.tpr, verdict.limits
    if fpr is None or tpr is None:
        raise ValueError("a model that was not measured has no card")
    negative, positive = map(plain, classes)
    sample = (
        "\n> **Synthetic sample.** Trained and tested on screens drawn by code. It shows that the workflow works.\n"
    )
    sure = percent(limits.confidence)
    ethics = _ETHICS.format(alarms=f"{fpr.value * 100_000:,.0f}", most=f"{fpr.upper * 100_000:,.0f}")
    return f"""# Model card: {positive} in screenshots
{sample if synthetic else ""}
## Model details

{_details(evaluation, contract, origin)}
- **Classes**: 0 is {negative}, the negative one; 1 is {positive}, the positive one. **Decision**: positive if the score
  of the screenshot, 0 to 1, is above {contract["threshold"]:.6f}.
- **Questions** go to whoever released it: the registry keeps who approved the version, when and why.

## Intended use

- To find screenshots of the class {positive} on a phone, for review by a small team of people.
- Not for a decision without that review, nor for photographs, videos, or screenshots of apps, devices or languages that
  the training data lack.

## Factors

{_factors(verdict.slices)}

## Metrics

- **False alarms**: the share of the negatives that are flagged. **Found**: the share of the positives that are flagged.
  Both are counted per screenshot, at a threshold that was chosen on other screenshots.
- Bounds are one-sided, with {sure} confidence, and count screenshots of one group (an app, a person) as dependent.

## Evaluation data

- {fpr.trials:,} negatives and {tpr.trials:,} positives of the test split, in groups of which none was trained on.
  They come from the same labelled data as those.

## Training data

{_training_data(validation)}

## Quantitative analyses

| | measured | proven | asked |
|---|---|---|---|
| false alarms | {_measured(fpr)} | at most {percent(fpr.upper)} | at most {percent(limits.max_fpr)} |
| found | {_measured(tpr)} | at least {percent(tpr.lower)} | at least {percent(limits.min_tpr)} |
{"".join(_slice_rows(verdict.slices))}
- {percent(contract["flipped_decisions"])} of the held-out screenshots are decided otherwise than by the trained model.

## Ethical considerations
{ethics}

## Caveats and recommendations

- The bounds are about screenshots like those of the test. They say nothing of apps, devices or languages that the
  labelled data lack, and age as apps change: train and test again with new ones.
- Another threshold than the one above was not tested.
- `model.json` says how to decode, cut and score. No labelled screenshot is part of the bundle.
{_golden_line(contract["golden"])}"""


def plain(text: Any, length: int = 80) -> str:
    """Return a stranger's text on one line, so that no Markdown or HTML in it has an effect."""
    return _MEANINGFUL.sub(r"\\\1", short(text, length))


def _details(evaluation: Evaluation, contract: Mapping[str, Any], origin: Origin) -> str:
    chosen = evaluation.subject.get("hyperparameters") or {}
    runtime, size = contract["runtime"], contract["preprocessing"]["tile_size"]
    blocks = int(chosen.get("fine-tune-blocks") or 0)
    learned = f"its last {blocks} blocks fine-tuned" if blocks else "as it was pretrained"
    made = [f"by run {origin.run}" if origin.run else "", f"on {origin.date}" if origin.date else ""]
    return f"""- **Version**: the one that this run registers. **Made** {" ".join(filter(None, made)) or "by tilegate"}.
- **Kind**: MobileNetV3 ({plain(chosen.get("backbone", "not stated"))}), {learned}, and a logistic regression on its
  features of the whole screenshot and of squares of it, each resized to {size} x {size} pixels.
- **File**: `model.tflite`, {contract["quantization"]}, {contract["bytes"]:,} bytes, sha256
  `{contract["sha256"]}`; LiteRT knows its {len(runtime["operators"])} kinds of
  operators from version {runtime["min_runtime_version"] or "(not stated)"} on."""


def _factors(slices: tuple[Slice, ...]) -> str:
    columns = ", ".join(dict.fromkeys(plain(part.column) for part in slices)) or "none"
    return (
        f"- Looked at apart, where there is enough data: {columns}.\n"
        "- What the labels do not tell was not looked at, such as the language on the screen or who uses the phone."
    )


def _training_data(validation: Mapping[str, Any]) -> str:
    lines = [f"{plain(dataset_line(validation) or 'Not stated', 300)}."]
    lines.append("The model learned from train and validation; its threshold was chosen on calibration.")
    lines += [
        f"{plain(split)}: " + ", ".join(f"{number:,} {plain(name)}" for name, number in counts.items())
        for split, counts in (validation.get("splits") or {}).items()
    ]
    if dataset := snapshot(validation):
        lines.append(f"Dataset: `{plain(dataset)}`.")
    if odd := fired_findings(validation):
        lines.append("Noted about them: " + "; ".join(plain(title) for title, _ in odd) + ".")
    return "\n".join(f"- {line}" for line in lines)


def _measured(rate: Rate) -> str:
    return f"{percent(rate.value)} ({rate.count:,} of {rate.trials:,})"


def _slice_rows(slices: tuple[Slice, ...]) -> Iterator[str]:
    """Yield the table's rows of slices with a verdict, the widest first, and how many more there are."""
    judged = [part for part in slices if part.status is not Status.NOT_JUDGED]
    for part in sorted(judged, key=lambda part: -part.negatives - part.positives)[:_SLICES]:
        name = f"{plain(part.column)} = {plain(part.value)}"
        for what, rate, proven in (("false alarms", part.fpr, "at most"), ("found", part.tpr, "at least")):
            if rate:
                bound = rate.upper if proven == "at most" else rate.lower
                yield f"| {what}, {name} | {_measured(rate)} | {proven} {percent(bound)} | |\n"
    if more := len(slices) - min(len(judged), _SLICES):
        yield f"\n- {more} more {'slice is' if more == 1 else 'slices are'} in `evaluation.json`."


def _golden_line(golden: Mapping[str, Any] | None) -> str:
    if not golden:
        return ""
    return (
        f"- Another runtime is right if `golden/` agrees: scores within {golden['score_tolerance']:.2g}; two\n"
        f"  implementations of the operators differ by {golden['kernel_spread']:.2g}. Check with "
        "`tilegate device check BUNDLE`.\n"
    )
