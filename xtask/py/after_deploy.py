"""What comes after `sam deploy`: the gaps of the emulator, and the migrations.

Usage: after_deploy.py STACK TEMPLATE. Prints {"outputs": {...}, "migrate": answer}. Exits with 1 and what the
function said if the migrations fail.
"""

import base64
import json
import os
import sys

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

import gaps


def physical_ids(client, stack, kind):
    """Physical by logical id, for the stack's resources of one type."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] == kind
    }


def invoke(function):
    """Invokes the function and waits for its answer, without a second try."""
    patient = Config(read_timeout=330, retries={"max_attempts": 0})
    client = boto3.client("lambda", config=patient)
    answer = client.invoke(FunctionName=function, Payload=b"{}", LogType="Tail")
    payload = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        log = base64.b64decode(answer.get("LogResult", "")).decode()
        sys.exit(f"{function} failed: {json.dumps(payload)}\n{log}")
    return payload


def main():
    stack, template = sys.argv[1:]
    client = boto3.client("cloudformation")
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
    with open(template, encoding="utf-8") as file:
        events = list(gaps.http_events(yaml_parse(file.read())))
    functions = physical_ids(client, stack, "AWS::Lambda::Function")
    gaps.make_routes(outputs["HttpApiId"], functions, events)
    address = f"{os.environ['AWS_ENDPOINT_URL']}/_aws/execute-api/{outputs['HttpApiId']}"
    gaps.tell_address(functions.values(), "PUBLIC_URL", address)
    gaps.relax_key_policy(outputs["CredentialsKeyId"])
    for bucket in physical_ids(client, stack, "AWS::S3::Bucket").values():
        gaps.allow_plain_http(bucket)
    for role in physical_ids(client, stack, "AWS::IAM::Role").values():
        gaps.adapt_role(role)
    migrated = invoke(outputs["MigrateFunctionName"])
    json.dump({"outputs": outputs, "migrate": migrated}, sys.stdout)


main()
