"""Prints a CloudWatch log group, oldest line first. Usage: logs.py GROUP [--follow]."""

import sys
import time
from datetime import datetime, timezone

import boto3


def lines(client, group):
    """(time in ms, text) of every line, over all streams, in order of time."""
    found = []
    for page in client.get_paginator("describe_log_streams").paginate(logGroupName=group):
        for stream in page["logStreams"]:
            name = stream["logStreamName"]
            events = client.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]
            found += [(event["timestamp"], event["message"].rstrip()) for event in events]
    # Stable: lines of the same millisecond keep the order in which they were written.
    return sorted(found, key=lambda line: line[0])


def main():
    client = boto3.client("logs")
    shown = 0
    while True:
        current = lines(client, sys.argv[1])
        for when, text in current[shown:]:
            moment = datetime.fromtimestamp(when / 1000, timezone.utc)
            print(f"{moment:%H:%M:%S}.{when % 1000:03} {text}", flush=True)
        shown = len(current)
        if "--follow" not in sys.argv:
            return
        time.sleep(1)


try:
    main()
except KeyboardInterrupt:
    pass
