"""The network of the jobs: subnets without a way out, and one door, to our buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.template.keys import kept
from infra.template.statements import allow, grant, objects
from pipelines.environment import Environment

_BLOCK = "10.0.0.0/20"
_SUBNETS = ("10.0.0.0/22", "10.0.4.0/22")
_HTTPS = {"from_port": 443, "to_port": 443}
# What hosts of a job send each other; with its traffic encrypted, SageMaker's keys and packets (IPsec) as well.
_EACH_OTHER: Mapping[str, Mapping[str, Any]] = {
    "": {"ip_protocol": "tcp", "from_port": 0, "to_port": 65535},
    "Keys": {"ip_protocol": "udp", "from_port": 500, "to_port": 500},
    "Encrypted": {"ip_protocol": "50"},
}


@dataclass(frozen=True, slots=True)
class Network:
    """Ids that only the deployed stack knows."""

    subnets: tuple[str, ...]
    security_group: str


def add_network(stack: Any, environment: Environment, s3_prefix_list: str, logs_key: Any) -> Network:
    scope = Construct(stack, "Network")
    vpc = ec2.CfnVPC(scope, "Vpc", cidr_block=_BLOCK, enable_dns_support=True, enable_dns_hostnames=True)
    table = ec2.CfnRouteTable(scope, "Routes", vpc_id=vpc.ref)
    subnets = []
    for number, block in enumerate(_SUBNETS):
        subnet = ec2.CfnSubnet(
            scope,
            f"Subnet{number}",
            vpc_id=vpc.ref,
            cidr_block=block,
            availability_zone=Fn.select(number, Fn.get_azs()),
            map_public_ip_on_launch=False,
        )
        ec2.CfnSubnetRouteTableAssociation(scope, f"Route{number}", route_table_id=table.ref, subnet_id=subnet.ref)
        subnets.append(subnet.ref)
    ec2.CfnVPCEndpoint(
        scope,
        "S3",
        vpc_id=vpc.ref,
        vpc_endpoint_type="Gateway",
        service_name=f"com.amazonaws.{environment.region}.s3",
        route_table_ids=[table.ref],
        policy_document=_our_buckets(environment),
    )
    _add_flow_log(scope, environment, vpc.ref, logs_key)
    return Network(tuple(subnets), _add_security_group(scope, environment, vpc.ref, s3_prefix_list))


def _our_buckets(environment: Environment) -> Any:
    places = [bucket + rest for bucket in (environment.data_bucket, environment.artifact_bucket) for rest in ("", "/*")]
    statement = iam.PolicyStatement(
        sid="OurBuckets",
        principals=[iam.AnyPrincipal()],
        actions=["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket"],
        resources=objects(environment, places),
        conditions={"StringEquals": {"aws:PrincipalAccount": environment.account}},
    )
    return iam.PolicyDocument(statements=[statement])


def _add_security_group(scope: Any, environment: Environment, vpc: str, s3_prefix_list: str) -> str:
    """Hosts of one job reach each other and S3; nobody reaches them, and they reach nobody else."""
    group = ec2.CfnSecurityGroup(
        scope,
        "Jobs",
        vpc_id=vpc,
        group_description=f"Jobs of {environment.project}: each other and S3",
        security_group_egress=[
            ec2.CfnSecurityGroup.EgressProperty(
                destination_prefix_list_id=s3_prefix_list, description="S3", ip_protocol="tcp", **_HTTPS
            )
        ],
    )
    for name, what in _EACH_OTHER.items():
        rule = {**what, "group_id": group.attr_group_id, "description": f"Hosts of a job{name and f': {name}'}"}
        ec2.CfnSecurityGroupIngress(scope, f"FromEachOther{name}", source_security_group_id=group.attr_group_id, **rule)
        ec2.CfnSecurityGroupEgress(
            scope, f"ToEachOther{name}", destination_security_group_id=group.attr_group_id, **rule
        )
    return str(group.attr_group_id)


def _add_flow_log(scope: Any, environment: Environment, vpc: str, key: Any) -> None:
    group = logs.LogGroup(
        scope,
        "FlowLogs",
        log_group_name=f"/{environment.project}/network",
        retention=logs.RetentionDays.THREE_MONTHS,
        encryption_key=key,
        removal_policy=kept(environment),
    )
    role = iam.Role(
        scope,
        "FlowLogRole",
        role_name=environment.role("network-logs"),
        assumed_by=iam.ServicePrincipal(
            "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": environment.account}}
        ),
    )
    writing = "logs:CreateLogStream PutLogEvents DescribeLogStreams"
    grant(role, [allow("Write", writing, [group.log_group_arn]), allow("Find", "logs:DescribeLogGroups", ["*"])])
    ec2.CfnFlowLog(
        scope,
        "FlowLog",
        resource_id=vpc,
        resource_type="VPC",
        # What is accepted goes to S3, which logs it by object; a line for each flow of it would cost, and tell nothing.
        traffic_type="REJECT",
        log_destination_type="cloud-watch-logs",
        log_group_name=group.log_group_name,
        deliver_logs_permission_arn=role.role_arn,
    )
