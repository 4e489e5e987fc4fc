"""Alarms, each with a sentence that says what to do, and the budget. They tell the alerts topic."""

from typing import Any

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.options import Options
from infra.template.events import FAILED, REJECTED, rule_name
from infra.template.functions import Function
from infra.template.keys import source_of
from pipelines.environment import Environment

_FIVE_MINUTES, _HOUR = 300, 3600
# One night, and two hours for a night that began late.
_HOURS_WITHOUT_DECISION = 26


def add_topic(stack: Any, environment: Environment, options: Options, key: Any) -> Any:
    """Return the topic of everything that a person should hear of."""
    scope = Construct(stack, "Alerts")
    topic = sns.Topic(scope, "Topic", topic_name=environment.alerts_topic, master_key=key, enforce_ssl=True)
    for service in ("cloudwatch", "events", "budgets"):
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"From{service.capitalize()}",
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions=source_of(service, environment),
            )
        )
    for number, address in enumerate(options.alert_emails):
        sns.CfnSubscription(scope, f"Email{number}", topic_arn=topic.topic_arn, protocol="email", endpoint=address)
    return topic


class Alarms:
    """Adds alarms that tell `topic_arn`."""

    def __init__(self, stack: Any, environment: Environment, topic_arn: str) -> None:
        self._scope, self._environment, self._topic_arn = Construct(stack, "Alarms"), environment, topic_arn

    def of_function(self, function: Function) -> None:
        name = function.name.removeprefix(f"{self._environment.project}-")
        self._any(
            f"{name}-errors",
            f"The function {function.name} has raised an error: its log says which",
            ("AWS/Lambda", "Errors", {"FunctionName": function.name}),
        )
        self.of_letters(name, function.dead_letters)

    def of_letters(self, name: str, queue: Any) -> None:
        self._any(
            f"{name}-dead-letters",
            "Something could not be delivered: look at the queue, mend the reason, and send the letters again",
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": queue.queue_name}),
            statistic="Maximum",
        )

    def of_ends(self) -> None:
        for rule, text in {
            FAILED: "An execution has failed or was stopped: `tilegate status` tells why",
            REJECTED: "The gate has rejected a candidate: `tilegate status` tells the reasons",
        }.items():
            self._any(rule, text, ("AWS/Events", "TriggeredRules", {"RuleName": rule_name(self._environment, rule)}))

    def of_refusals(self) -> None:
        self._any(
            "release-refused",
            "A version was approved outside of tilegate and is not released: approve it with a name and a reason",
            (self._environment.metric_namespace, "RefusedReleases", {}),
        )

    def of_nights(self) -> None:
        """Miss the night that never came: no data is the alarm."""
        self._add(
            "no-decision",
            f"No night has decided anything for {_HOURS_WITHOUT_DECISION} hours: look at the starter's log",
            (self._environment.metric_namespace, "Decisions", {}),
            statistic="Sum",
            comparison_operator="LessThanThreshold",
            period=_HOUR,
            evaluation_periods=_HOURS_WITHOUT_DECISION,
            treat_missing_data="breaching",
        )

    def _any(self, name: str, text: str, metric: tuple[str, str, dict[str, str]], statistic: str = "Sum") -> None:
        self._add(
            name,
            text,
            metric,
            statistic=statistic,
            comparison_operator="GreaterThanOrEqualToThreshold",
            period=_FIVE_MINUTES,
            evaluation_periods=1,
            treat_missing_data="notBreaching",
        )

    def _add(self, name: str, text: str, metric: tuple[str, str, dict[str, str]], **how: Any) -> None:
        namespace, metric_name, dimensions = metric
        cloudwatch.CfnAlarm(
            self._scope,
            name,
            alarm_name=f"{self._environment.project}-{name}",
            alarm_description=text,
            namespace=namespace,
            metric_name=metric_name,
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value) for key, value in dimensions.items()
            ],
            threshold=1,
            alarm_actions=[self._topic_arn],
            **how,
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
