"""Calls AWS for the tests, as its own SDK for Python does: a JSON object a line in, one a line out.

In: {"service", "operation", "args", "role"}; `role` is the ARN of a role to be, if any. Out: {"ok": answer} or
{"error": code, "why": words}. `credentials` in place of an operation gives the role's credentials.
"""
import base64
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIG = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=90)
clients, sessions = {}, {}


def session(role):
    if role is None:
        return boto3.Session()
    if role not in sessions:
        given = client("sts", None).assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        sessions[role] = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
    return sessions[role]


def client(service, role):
    if (service, role) not in clients:
        clients[service, role] = session(role).client(service, config=CONFIG)
    return clients[service, role]


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key != "ResponseMetadata"}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def answer(asked):
    role = asked.get("role")
    if asked["operation"] == "credentials":
        given = session(role).get_credentials()
        return {"id": given.access_key, "secret": given.secret_key, "token": given.token}
    return plain(getattr(client(asked["service"], role), asked["operation"])(**asked.get("args", {})))


for line in sys.stdin:
    try:
        told = {"ok": answer(json.loads(line))}
    except ClientError as e:
        told = {"error": e.response["Error"]["Code"], "why": e.response["Error"].get("Message", "")}
    except (BotoCoreError, TypeError, AttributeError) as e:
        told = {"error": type(e).__name__, "why": str(e)}
    print(json.dumps(told), flush=True)
