"""What comes after `sam deploy`: two gaps of the emulator, and the migrations.

The emulator ignores the OpenAPI body in which SAM puts the routes, so they are made here, from the HttpApi events of
template.yaml itself. And it evaluates key policies but does not know the condition keys kms:EncryptionContext:*, so that
a statement with one never applies; it gets its key policy without them. The encryption context itself it enforces.
Against AWS neither is needed.

Usage: after_deploy.py STACK TEMPLATE. Prints {"outputs": {...}, "migrate": answer}. Exits with 1 and the
function's own error if the migrations fail.
"""

import json
import sys

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse


def http_events(template):
    """(logical id of the function, "METHOD /path") for every HttpApi event."""
    for name, resource in template["Resources"].items():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "HttpApi":
                route = event["Properties"]
                yield name, f"{route['Method'].upper()} {route['Path']}"


def make_routes(api, functions, events):
    """Brings the API's routes to what the template says; safe to repeat."""
    gateway = boto3.client("apigatewayv2")
    for route in gateway.get_routes(ApiId=api)["Items"]:
        gateway.delete_route(ApiId=api, RouteId=route["RouteId"])
    for integration in gateway.get_integrations(ApiId=api)["Items"]:
        gateway.delete_integration(ApiId=api, IntegrationId=integration["IntegrationId"])
    integrations = {}
    for function, route in events:
        if function not in integrations:
            integrations[function] = gateway.create_integration(
                ApiId=api,
                IntegrationType="AWS_PROXY",
                IntegrationUri=functions[function],
                PayloadFormatVersion="2.0",
            )["IntegrationId"]
        gateway.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integrations[function]}")


def without_encryption_context(statement):
    """The statement without the condition keys that the emulator does not know."""
    conditions = {
        operator: {key: value for key, value in keys.items() if not key.startswith("kms:EncryptionContext:")}
        for operator, keys in statement.get("Condition", {}).items()
    }
    return {**statement, "Condition": {operator: keys for operator, keys in conditions.items() if keys}}


def relax_key_policy(key):
    """Puts the key's policy in terms that the emulator evaluates; safe to repeat."""
    client = boto3.client("kms")
    policy = json.loads(client.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"] = [without_encryption_context(statement) for statement in policy["Statement"]]
    client.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def function_arns(client, stack):
    """ARN by logical id, for every function of the stack."""
    resources = client.describe_stack_resources(StackName=stack)["StackResources"]
    lambdas = boto3.client("lambda")
    return {
        one["LogicalResourceId"]: lambdas.get_function(FunctionName=one["PhysicalResourceId"])["Configuration"]["FunctionArn"]
        for one in resources
        if one["ResourceType"] == "AWS::Lambda::Function"
    }


def invoke(function):
    """Invokes the function and waits for its answer, without a second try."""
    patient = Config(read_timeout=330, retries={"max_attempts": 0})
    answer = boto3.client("lambda", config=patient).invoke(FunctionName=function, Payload=b"{}")
    payload = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        sys.exit(f"{function} failed: {json.dumps(payload, indent=2)}")
    return payload


def main():
    stack, template = sys.argv[1:]
    client = boto3.client("cloudformation")
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
    with open(template, encoding="utf-8") as file:
        events = list(http_events(yaml_parse(file.read())))
    make_routes(outputs["HttpApiId"], function_arns(client, stack), events)
    relax_key_policy(outputs["CredentialsKeyId"])
    migrated = invoke(outputs["MigrateFunctionName"])
    json.dump({"outputs": outputs, "routes": [route for _, route in events], "migrate": migrated}, sys.stdout)


main()
