"""Looks for secrets in CloudWatch log groups.

Reads {"prefix": "...", "secrets": ["..."]} from standard input, prints how many lines of how many groups it has read, and exits with 1
naming the group, never the secret, where one holds any.
"""

import json
import sys

import boto3


def texts(client, group):
    """Every line of the group."""
    for page in client.get_paginator("describe_log_streams").paginate(logGroupName=group):
        for stream in page["logStreams"]:
            token = {}
            while True:
                answer = client.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **token
                )
                yield from (event["message"] for event in answer["events"])
                following = answer.get("nextForwardToken")
                if not answer["events"] or following == token.get("nextToken"):
                    break
                token = {"nextToken": following}


def main():
    wanted = json.load(sys.stdin)
    client = boto3.client("logs")
    lines = groups = 0
    for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=wanted["prefix"]):
        for group in page["logGroups"]:
            groups += 1
            for text in texts(client, group["logGroupName"]):
                lines += 1
                if any(secret in text for secret in wanted["secrets"]):
                    sys.exit(f"{group['logGroupName']} holds a secret")
    if not lines:
        sys.exit("there are no lines to look at")
    print(f"{lines} lines in {groups} groups")


main()
