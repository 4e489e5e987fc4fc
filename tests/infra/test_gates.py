"""The gates of others: cdk-nag, cfn-lint and CloudFormation's own rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.template.synth import add_stacks, new_app, synthesise, toolkit
from pipelines.environment import Environment
from tests.infra.accepted_findings import ACCEPTED, unexplained, unused
from tests.infra.conftest import ACCOUNT, REGION, images_of

pytestmark = pytest.mark.integration


def findings_of(environment, options, folder):
    """Return what cdk-nag's AwsSolutions finds, as (rule, path within the stack)."""
    with toolkit(validate=False):
        import aws_cdk as cdk
        from cdk_nag import AwsSolutionsChecks

        app = new_app(str(folder))
        add_stacks(app, environment, images_of(environment), options)
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
        with pytest.raises(Exception, match="ValidationFailed"):  # there always are findings: dead-letter queues
            app.synth()
    (report,) = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    return {
        (violation["ruleName"], construct["constructPath"].partition("/")[2])
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    }


def test_every_finding_of_cdk_nag_has_a_reason_and_every_reason_a_finding(tmp_path, options):
    found = findings_of(Environment("prod", ACCOUNT, REGION), options, tmp_path)
    assert unexplained(found) == []
    assert unused(found) == []


def test_a_finding_without_a_reason_is_told():
    foreign = [
        ("AwsSolutions-S1", "Buckets/Data/Resource"),
        ("AwsSolutions-IAM5[Resource::*]", "Roles/Pipeline/Duty/Resource"),
    ]
    assert unexplained(foreign) == foreign
    assert len(unused([])) == len(ACCEPTED)
    assert all(accepted.reason for accepted in ACCEPTED)


def test_cfn_lint_finds_nothing(templates, tmp_path):
    paths = []
    for name, template in templates.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(template))
        paths.append(str(path))
    lint = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run(
        [lint, "--non-zero-exit-code", "informational", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.aws
def test_cdk_validates_the_templates_with_its_own_rules(environment, options):
    assert synthesise(environment, images_of(environment), options, validate=True)
