"""What the emulator does not take from template.yaml by itself. Against AWS nothing of this is needed.

1. It ignores the OpenAPI body in which SAM puts the HTTP API's routes: they are made from the template's HttpApi events.
2. It evaluates key policies but does not know the condition keys kms:EncryptionContext:*, so that a statement with one
   never applies: the key gets its policy without them, and without what they deny. The encryption context itself it enforces.
3. It wants sqs:SendMessageBatch where AWS wants sqs:SendMessage for both: the roles get it beside the other.
4. It asks for the right to send email on no resource at all, where AWS asks for the identity and the configuration set:
   the roles get it on any.
5. Its API has an address of its own kind, which the template cannot know: the functions that want it are told.
6. It is reached by plain http, which the buckets' policies deny: they get them without that statement.
"""

import json

import boto3

BATCH_OF = {"sqs:SendMessage": "sqs:SendMessageBatch", "sqs:DeleteMessage": "sqs:DeleteMessageBatch"}


def http_events(template):
    """(logical id of the function, "METHOD /path") for every HttpApi event."""
    for name, resource in template["Resources"].items():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "HttpApi":
                route = event["Properties"]
                yield name, f"{route['Method'].upper()} {route['Path']}"


def make_routes(api, functions, events):
    """Brings the API's routes to what the template says; safe to repeat. `functions`: physical by logical id."""
    gateway, lambdas = boto3.client("apigatewayv2"), boto3.client("lambda")
    for route in gateway.get_routes(ApiId=api)["Items"]:
        gateway.delete_route(ApiId=api, RouteId=route["RouteId"])
    for integration in gateway.get_integrations(ApiId=api)["Items"]:
        gateway.delete_integration(ApiId=api, IntegrationId=integration["IntegrationId"])
    integrations = {}
    for function, route in events:
        if function not in integrations:
            arn = lambdas.get_function(FunctionName=functions[function])["Configuration"]["FunctionArn"]
            integrations[function] = gateway.create_integration(
                ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
            )["IntegrationId"]
        gateway.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integrations[function]}")


def relax_key_policy(key):
    """Puts the key's policy in terms that the emulator evaluates; safe to repeat."""
    client = boto3.client("kms")
    policy = json.loads(client.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    relaxed = [without_encryption_context(statement) for statement in policy["Statement"]]
    # What was to be denied without a context would be denied always.
    policy["Statement"] = [one for one in relaxed if one["Effect"] == "Allow" or one.get("Condition")]
    client.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def without_encryption_context(statement):
    """The statement without the condition keys that the emulator does not know."""
    conditions = {
        operator: {key: value for key, value in keys.items() if not key.startswith("kms:EncryptionContext:")}
        for operator, keys in statement.get("Condition", {}).items()
    }
    return {**statement, "Condition": {operator: keys for operator, keys in conditions.items() if keys}}


def allow_plain_http(bucket):
    """Takes the statement about TLS out of the bucket's policy; safe to repeat."""
    client = boto3.client("s3")
    try:
        policy = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except client.exceptions.ClientError:
        return
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] != "TlsOnly"]
    if policy["Statement"]:
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    else:
        client.delete_bucket_policy(Bucket=bucket)


def adapt_role(role):
    """Gives a role its rights in terms that the emulator asks for; safe to repeat."""
    client = boto3.client("iam")
    for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        statements = policy["Statement"]
        policy["Statement"] = [on_any_identity(with_batches(statement)) for statement in statements]
        if policy["Statement"] != statements:
            client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def with_batches(statement):
    """The statement with the emulator's names of the batch actions added."""
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    batches = [BATCH_OF[action] for action in actions if action in BATCH_OF]
    return {**statement, "Action": actions + batches} if batches else statement


def on_any_identity(statement):
    """The statement without resources where it is about sending email."""
    return {**statement, "Resource": "*"} if "ses:SendEmail" in statement["Action"] else statement


def tell_address(functions, setting, address):
    """Sets the address of the API in the functions whose settings name it; safe to repeat. `functions`: physical names."""
    client = boto3.client("lambda")
    for function in functions:
        settings = client.get_function_configuration(FunctionName=function).get("Environment", {}).get("Variables", {})
        if setting in settings and settings[setting] != address:
            client.update_function_configuration(
                FunctionName=function, Environment={"Variables": {**settings, setting: address}}
            )
