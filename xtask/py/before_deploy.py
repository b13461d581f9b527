"""What exists before template.yaml is deployed: the bucket for the zips, and the secrets.

Reads {"bucket": name, "secrets": {name: value}} from stdin, prints {name: arn} of the secrets.
The endpoint and the credentials come from the environment (AWS_ENDPOINT_URL and so on).
"""

import json
import sys

import boto3


def put_secret(client, name, value):
    """Creates the secret or gives it its current value; either way, its ARN."""
    try:
        return client.create_secret(Name=name, SecretString=value)["ARN"]
    except client.exceptions.ResourceExistsException:
        return client.put_secret_value(SecretId=name, SecretString=value)["ARN"]


def main():
    wanted = json.load(sys.stdin)
    boto3.client("s3").create_bucket(Bucket=wanted["bucket"])
    client = boto3.client("secretsmanager")
    arns = {name: put_secret(client, name, value) for name, value in wanted["secrets"].items()}
    json.dump(arns, sys.stdout)


main()
