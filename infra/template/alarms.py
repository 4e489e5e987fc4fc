"""Alarms, each with a sentence that says what to do, and the budget. They tell the alerts topic."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.options import Options
from infra.template.events import FAILED, REJECTED, rule_name
from infra.template.functions import Function
from infra.template.keys import source_of
from infra.template.statements import allow
from pipelines.environment import Environment

# One night, and two hours for a night that began late.
_HOURS_WITHOUT_DECISION = 26


def add_topic(stack: Any, environment: Environment, options: Options, key: Any) -> Any:
    """Return the topic of everything that a person should hear of."""
    scope = Construct(stack, "Alerts")
    topic = sns.Topic(scope, "Topic", topic_name=environment.alerts_topic, master_key=key, enforce_ssl=True)
    for service in ("cloudwatch", "events", "budgets"):
        sid, conditions = f"From{service.capitalize()}", source_of(service, environment)
        topic.add_to_resource_policy(allow(sid, "sns:Publish", [topic.topic_arn], conditions, service=service))
    for number, address in enumerate(options.alert_emails):
        sns.CfnSubscription(scope, f"Email{number}", topic_arn=topic.topic_arn, protocol="email", endpoint=address)
    return topic


def add_alarms(
    stack: Any,
    environment: Environment,
    options: Options,
    topic_arn: str,
    *,
    functions: Sequence[Function],
    alert_letters: Any,
) -> None:
    """Add the alarms. Each is one occurrence within five minutes, but for the night that never came."""
    scope, namespace = Construct(stack, "Alarms"), environment.metric_namespace
    kinds = {function.name.removeprefix(f"{environment.project}-"): function for function in functions}

    def add(name: str, text: str, metric: tuple[str, str], by: str = "", of: str = "", **how: Any) -> None:
        usual = {
            "statistic": "Sum",
            "comparison_operator": "GreaterThanOrEqualToThreshold",
            "period": 300,
            "evaluation_periods": 1,
            "treat_missing_data": "notBreaching",
        }
        cloudwatch.CfnAlarm(
            scope,
            name,
            alarm_name=f"{environment.project}-{name}",
            alarm_description=text,
            namespace=metric[0],
            metric_name=metric[1],
            dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name=by, value=of)] if by else [],
            threshold=1,
            alarm_actions=[topic_arn],
            **(usual | how),
        )

    def add_letters(name: str, queue: Any) -> None:
        text = "Something could not be delivered: look at the queue, mend the reason, and send the letters again"
        metric = ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
        add(f"{name}-dead-letters", text, metric, "QueueName", queue.queue_name, statistic="Maximum")

    for name, function in kinds.items():
        text = f"The function {function.name} has raised an error: its log says which"
        add(f"{name}-errors", text, ("AWS/Lambda", "Errors"), "FunctionName", function.name)
        add_letters(name, function.dead_letters)
    add_letters("alerts", alert_letters)
    for rule, text in {
        FAILED: "An execution has failed or was stopped: `tilegate status` tells why",
        REJECTED: "The gate has rejected a candidate: `tilegate status` tells the reasons",
    }.items():
        add(rule, text, ("AWS/Events", "TriggeredRules"), "RuleName", rule_name(environment, rule))
    add(
        "release-refused",
        "A version was approved outside of tilegate and is not released: approve it with a name and a reason",
        (namespace, "RefusedReleases"),
    )
    if options.is_scheduled(environment):
        add(
            "no-decision",
            f"No night has decided anything for {_HOURS_WITHOUT_DECISION} hours: look at the starter's log",
            (namespace, "Decisions"),
            comparison_operator="LessThanThreshold",
            period=3600,
            evaluation_periods=_HOURS_WITHOUT_DECISION,
            treat_missing_data="breaching",  # no data is the alarm
        )


def add_budget(stack: Any, environment: Environment, options: Options, topic_arn: str) -> None:
    """Tell people when 80 % of the month's money is spent, and when more than all of it will be.

    The tag `project` has to be activated once as a cost allocation tag of the account; until then it counts nothing.
    """
    subscribers = [budgets.CfnBudget.SubscriberProperty(address=topic_arn, subscription_type="SNS")]
    budgets.CfnBudget(
        Construct(stack, "Cost"),
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_name=environment.project,
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=options.monthly_budget_usd, unit="USD"),
            cost_filters={"TagKeyValue": [f"user:project${environment.project}"]},
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent
                ),
                subscribers=subscribers,
            )
            for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
        ],
    )
