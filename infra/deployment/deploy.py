"""`tilegate deploy`: bring an environment's stacks to what their templates say, after showing what changes."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.deployment.change_sets import Proposal, carry_out, discard, in_order, propose, source_of
from infra.deployment.images_in_aws import how_to_push
from infra.deployment.preflight import preflight, refuse
from infra.deployment.readiness import BAD
from infra.deployment.smoke import smoke
from infra.deployment.stacks_in_aws import Sleep, Stacks, Tell
from infra.options import Choices, choose
from pipelines.aws.session import Deployment, aws_errors
from pipelines.planning.seed import seed, upload_weights, weights_folder
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError

Confirm = Callable[[str], bool]
# What a stack is made of stands under this name in its template's metadata.
_OURS = "tilegate"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`given` are images and options by their names, None for those to leave as they are; `weights` is a file or None.

    With `dry_run` nothing changes, except that the template may be uploaded; with `preflight` nothing at all, but for
    what that makes and removes. `smoke` runs the sample after the deployment.
    """

    given: Mapping[str, Any]
    weights: Path | None = None
    dry_run: bool = False
    preflight: bool = False
    smoke: bool = False


def deploy(deployment: Deployment, wanted: Wanted, *, tell: Tell, confirm: Confirm, sleep: Sleep = time.sleep) -> bool:
    """Deploy, and return whether all was done and is well: False if somebody said no. Doing it again changes nothing.

    `confirm` is asked before something with contents is removed or replaced. Raises UserError.
    """
    from infra.template.synth import synthesise

    environment = deployment.environment
    stacks = Stacks(deployment.client("cloudformation"), tell, sleep)
    deployed = stacks.template(environment.project)
    choices = _chosen(deployment, wanted, deployed.get("Metadata", {}).get(_OURS, {}))
    templates = synthesise(environment, choices.images, choices.options)
    main = templates.get(environment.project, {})
    if main:
        main["Metadata"] = {**main.get("Metadata", {}), _OURS: choices.to_dict()}
    if wanted.preflight or deployed != json.loads(json.dumps(main)):
        has_weights = wanted.weights is not None
        rows = preflight(
            deployment, choices, main, has_weights=has_weights, is_dry=wanted.dry_run, tell=tell, sleep=sleep
        )
        if wanted.preflight:
            return all(row.state != BAD for row in rows)
        refuse(rows)
    for name, template in templates.items():
        source = source_of(template, name, environment, deployment.client("s3"))
        proposal = propose(stacks, name, source, {"project": environment.project, "environment": environment.name})
        if proposal is None:
            tell(f"Stack {name}: nothing to change.")
        elif not _decided(stacks, proposal, wanted, confirm):
            return False
        state = stacks.state(name)
        if environment.name == "prod" and state and not wanted.dry_run:
            stacks.protect(state, protected=True)
    if wanted.dry_run:
        return True
    if choices.images is None:
        tell(how_to_push(environment))
        return not wanted.smoke
    _fill(deployment, wanted, tell)
    return smoke(deployment, tell=tell, sleep=sleep) if wanted.smoke else True


def _chosen(deployment: Deployment, wanted: Wanted, earlier: Mapping[str, Any]) -> Choices:
    choices = choose(wanted.given, earlier, _s3_prefix_list(deployment))
    if wanted.weights:
        choices = replace(choices, options=replace(choices.options, weights=weights_folder(wanted.weights)))
    return choices


def _s3_prefix_list(deployment: Deployment) -> str:
    """Return the id of the region's managed prefix list of S3; raises UserError if AWS knows none."""
    region = deployment.environment.region
    name = f"com.amazonaws.{region}.s3"
    filters = [{"Name": "prefix-list-name", "Values": [name]}]
    with aws_errors("ask for the addresses of S3"):
        for found in deployment.client("ec2").describe_managed_prefix_lists(Filters=filters)["PrefixLists"]:
            if found["PrefixListName"] == name:
                return str(found["PrefixListId"])
    raise UserError(f"{region} has no managed prefix list {name}: jobs could not reach their buckets there")


def _decided(stacks: Stacks, proposal: Proposal, wanted: Wanted, confirm: Confirm) -> bool:
    """Show a proposal, and carry it out if it may be. Returns whether to go on."""
    name, changes = proposal.stack.name, in_order(proposal.changes)
    if proposal.is_new:
        stacks.tell(f"Stack {name}: new, {len(changes)} resources")
        for kind, n in sorted(Counter(change.kind for change in changes).items()):
            stacks.tell(f"  + {n:>3} {kind}")
    else:
        stacks.tell(f"Stack {name}: {len(changes)} {'change' if len(changes) == 1 else 'changes'}")
        for change in changes:
            stacks.tell(f"  {change}")
    if wanted.dry_run:
        discard(stacks, proposal)
        return True
    lost = [change.name for change in proposal.changes if change.loses]
    if lost and not confirm(f"The contents of {', '.join(lost)} will be lost for good. Go on?"):
        discard(stacks, proposal)
        return False
    carry_out(stacks, proposal)
    return True


def _fill(deployment: Deployment, wanted: Wanted, tell: Tell) -> None:
    environment = deployment.environment
    artifacts = S3Objects(deployment.client("s3"), environment.artifact_bucket)
    with aws_errors(f"write to {environment.artifact_bucket}"):
        made = seed(artifacts)
        if wanted.weights and (key := upload_weights(wanted.weights, artifacts)):
            made.append(key)
    for key in made:
        tell(f"Wrote {artifacts.uri(key)}")
    tell(f"{environment.project} is deployed.")
