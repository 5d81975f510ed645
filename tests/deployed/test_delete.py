"""The end of a stack: in dev nothing stays, in prod what holds data."""

import pytest
from conftest import STACK
from world import sam


def emptied(world, bucket):
    objects = world.emulator.client("s3")
    for page in objects.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            objects.delete_object(Bucket=bucket, Key=one["Key"])


def silenced(world):
    """No tick comes and no function works: the emulator makes the log group of one that ends later anew, which AWS lets no role of ours do."""
    scheduler = world.emulator.client("scheduler")
    for one in scheduler.list_schedules()["Schedules"]:
        told = scheduler.get_schedule(Name=one["Name"], GroupName=one["GroupName"])
        kept = {key: told[key] for key in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
        scheduler.update_schedule(**kept, State="DISABLED")
    world.at_rest()


def standing(world):
    """Everything that would cost something, by kind."""
    client = world.emulator.client
    distributions = client("cloudfront").list_distributions()["DistributionList"]
    secrets = client("secretsmanager").list_secrets()["SecretList"]
    keys = [client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in client("kms").list_keys()["Keys"]]
    return {
        "tables": client("dynamodb").list_tables()["TableNames"],
        "buckets": [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"] if "aws-sam-cli" not in bucket["Name"]],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "functions": [function["FunctionName"] for function in client("lambda").list_functions()["Functions"]],
        "log groups": [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"] if "calmesh" in group["logGroupName"]],
        "schedules": [schedule["Name"] for schedule in client("scheduler").list_schedules()["Schedules"]],
        "apis": [api["Name"] for api in client("apigatewayv2").get_apis()["Items"]],
        "distributions": [one["Id"] for one in distributions.get("Items", [])],
        "alarms": [alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "dashboards": [one["DashboardName"] for one in client("cloudwatch").list_dashboards()["DashboardEntries"]],
        "secrets": [secret["Name"] for secret in secrets if not secret.get("DeletedDate")],
        "keys": [key["KeyId"] for key in keys if key["KeyState"] == "Enabled" and key.get("KeyManager") == "CUSTOMER"],
    }


def test_a_deleted_dev_stack_leaves_nothing(world, deployed):
    for output in ("ExportsBucket", "SnapshotsBucket", "AccessLogsBucket"):
        emptied(world, deployed.outputs[output])
    silenced(world)
    sam.delete(world.endpoint, STACK)
    assert {kind: left for kind, left in standing(world).items() if left} == {}


def test_a_deleted_prod_stack_leaves_what_holds_data(world):
    stack = world.deploy("calmesh-prod", stage="prod", name="deploy-prod")
    account = stack.account("prod")
    account.property("Flat of prod")
    sam.delete(world.endpoint, "calmesh-prod", name="delete-prod")
    left = {kind: len(left) for kind, left in standing(world).items() if left}
    assert left == {"tables": 1, "buckets": 2, "secrets": 2, "keys": 1}
    table = world.emulator.client("dynamodb").describe_table(TableName=stack.outputs["TableName"])["Table"]
    assert table["DeletionProtectionEnabled"] and table["ItemCount"] >= 0
    items = world.emulator.client("dynamodb").scan(TableName=stack.outputs["TableName"])["Items"]
    assert any("Flat of prod" in str(item) for item in items)
