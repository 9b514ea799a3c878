"""Schemathesis against the API of the real binary, on an empty data folder, in a network of its own.

run.py BINARY LOGS [ARGUMENT OF SCHEMATHESIS...], run by the Python that has Schemathesis; run.py --possible tells by its
exit status whether there can be such a network.

The network holds nothing but loopback: what is sent are made-up requests, and some of them name servers elsewhere, which
must not be asked.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
ALONE = "SAMEROOM_API_ALONE"
SEED = "1"
# The port is free: nobody else is in this network.
PORT = 8787
URL = f"http://127.0.0.1:{PORT}"
API = f"{URL}/api/v1"
# Removing comes after the rest, which needs what is there; then anything may follow anything.
PASSES = {
    "asked": ["--exclude-method", "DELETE", "--phases", "examples,coverage,fuzzing"],
    "removed": ["--include-method", "DELETE", "--exclude-path", "/accounts/{id}", "--phases", "coverage,fuzzing"],
    "left": ["--include-name", "DELETE /accounts/{id}", "--phases", "coverage,fuzzing"],
    "in turn": ["--phases", "stateful"],
}
# Limits are tested elsewhere; here they would only be in the way.
SETTINGS = "[api]\nper_minute = 1000000\nburst = 1000000\n"


def alone(possible):
    """Starts this again in a network of its own; or only says whether it could be."""
    enter = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-root-user"]
    up = 'ip link set lo up && exec "$@"'
    if possible:
        sys.exit(subprocess.run([*enter, "sh", "-c", up, "sh", "true"], capture_output=True).returncode)
    again = [*enter, "sh", "-c", up, "sh", sys.executable, "-W", "ignore", __file__, *sys.argv[1:]]
    os.environ[ALONE] = "1"
    os.execvp(again[0], again)


class Server:
    """The binary, serving a folder, and a key for it."""

    def __init__(self, binary, folder, log):
        self.binary, self.folder = binary, folder
        (folder / "sameroom.toml").write_text(SETTINGS)
        # Nothing of the machine's own settings counts.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("SAMEROOM_")}
        with open(log, "w") as out:
            command = [binary, "--data", str(folder), "--listen", URL.removeprefix("http://")]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=self.env)
        self.wait()

    def wait(self):
        for _ in range(300):
            if self.process.poll() is not None:
                raise SystemExit(f"error: the server ended with {self.process.returncode}")
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{API}/openapi.json", timeout=5).read()
            time.sleep(0.1)
        raise SystemExit("error: the server does not answer")

    def key(self, name):
        command = [self.binary, "--data", str(self.folder), "keys", "add", "--name", name, "--scope", "admin"]
        made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=self.env)
        return made.stdout.strip()

    def stop(self):
        """The exit status: 0 unless it was gone already."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Client:
    def __init__(self, key):
        self.key = key

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(API + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")

    def post(self, path, body):
        return self.ask("POST", path, body)


def seed(me):
    """Some of everything, so that requests meet something. What to name in requests, by what it is."""
    urls = [f"local:{name}" for name in ("one", "two", "three", "four")]
    urls += ["ircs://irc.example/#one", "webhook+https://chat.example/hook?secret=s"]
    rooms = [me.post("/rooms", {"url": url})["id"] for url in urls]
    tube = me.post("/tubes", {"rooms": rooms[:2]})["id"]
    portal = me.post("/portals", {"room": rooms[0], "label": "open", "approval": True})
    token = portal["url"].rsplit("/", 1)[1]
    me.post(f"/invitations/{token}/accept", {"room": rooms[2]})
    owner = me.post("/owners", {"name": "Ada", "email": "ada@sameroom.example"})["id"]
    theirs = me.post(f"/owners/{owner}/keys", {"name": "theirs", "scopes": ["admin"]})["key"]["id"]
    mine = me.post("/keys", {"name": "read", "scopes": ["read"]})["key"]["id"]
    begun = [me.post("/accounts", {"platform": name})["id"] for name in ("irc", "slack", "webhook")]
    portal = portal["portal"]["id"]
    lists = ("accounts", "keys", "owners", "rooms")
    return {
        **{f"{name}-next": [me.ask("GET", f"/{name}?limit=1")["next"]] for name in lists},
        "urls": ["local:five", "local:six?token=six", "irc://irc.example:6667/#two", "slack:T1/C1"],
        "rooms": rooms,
        "tubes": [tube],
        "portals": [portal],
        "guests": [guest["id"] for guest in me.ask("GET", f"/portals/{portal}/guests")["items"]],
        "invitations": [token],
        "owners": ["operator", owner],
        "keys": [mine, theirs],
        "accounts": [account["id"] for account in me.ask("GET", "/accounts")["items"]],
        "onboardings": begun,
    }


def settings(key, things, folder):
    """The settings of Schemathesis, with the key, and with what there is."""
    header = f'headers = {{ Authorization = "Bearer {key}" }}'
    lines = [f"{name} = {{ values = {json.dumps(values)} }}" for name, values in things.items()]
    path = folder / "schemathesis.toml"
    path.write_text("\n".join([header, (HERE / "schemathesis.toml").read_text(), "[dictionaries]", *lines, ""]))
    return path


def strangers(document):
    """Operations that answer without a valid key otherwise than by 401.

    Schemathesis would ask so, too, but from one address, which soon gets 429 for it."""
    address = 1
    for path, item in document["paths"].items():
        for method in item:
            for headers in ({}, {"Authorization": "Bearer sr_no"}):
                address += 1
                source = (f"127.0.{address // 250}.{address % 250 + 1}", 0)
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20, source_address=source)
                connection.request(method.upper(), "/api/v1" + re.sub(r"{\w+}", "x", path), headers=headers)
                status = connection.getresponse().status
                connection.close()
                if status != 401:
                    yield f"{method.upper()} {path} answers {status} to {'a wrong key' if headers else 'no key'}"


def fuzz(name, arguments, config, logs):
    """One run of Schemathesis: what passed, what failed."""
    report = logs / f"api-{name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    command = [str(pathlib.Path(sys.executable).parent / "schemathesis"), "--config-file", str(config)]
    command += ["run", f"{API}/openapi.json", "--seed", SEED]
    command += ["--no-color", "--report", "junit", "--report-junit-path", str(report), *arguments]
    status = subprocess.run(command, cwd=config.parent, stdin=subprocess.DEVNULL).returncode
    passed, failed = [], []
    for case in xml.parse(report).iter("testcase") if report.exists() else ():
        bad = case.find("failure") is not None or case.find("error") is not None
        (failed if bad else passed).append(f"{case.get('name')}, {name}")
    if (status != 0) != bool(failed) or not passed + failed:
        failed.append(f"Schemathesis, {name}, ends with {status}")
    return passed, failed


def main():
    if ALONE not in os.environ:
        alone(sys.argv[1:] == ["--possible"])
    binary, logs, *more = sys.argv[1:]
    logs = pathlib.Path(logs)
    log = logs / "api-server.log"
    passed, failed = [], []
    # Whoever ends the script has the server ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def check(name, good):
        (passed if good else failed).append(name)

    with tempfile.TemporaryDirectory(prefix="sameroom-api-") as folder:
        folder = pathlib.Path(folder)
        server = Server(binary, folder, log)
        try:
            key = server.key("fuzz")
            me = Client(key)
            refused = list(strangers(me.ask("GET", "/openapi.json")))
            print(*refused, sep="\n")
            check("nothing without a valid key", not refused)
            config = settings(key, seed(me), folder)
            for name, arguments in PASSES.items():
                good, bad = fuzz(name, arguments + more, config, logs)
                passed += good
                failed += bad
                # Else what follows would be 401s.
                check(f"the key still does, {name}", me.ask("GET", "/tubes?limit=1") is not None)
        finally:
            stopped = server.stop()
    panics = re.findall(r".*panicked at.*", log.read_text())
    print(*panics, sep="\n")
    check("the server does not panic, and ends as it is told to", not panics and stopped == 0)
    # As cargo's tests say it, so that tests/run counts them.
    print(*(f"test {name} ... ok" for name in passed), *(f"test {name} ... FAILED" for name in failed), sep="\n")
    print(f"test result: {'FAILED' if failed else 'ok'}. {len(passed)} passed; {len(failed)} failed; 0 ignored")
    sys.exit(bool(failed))


main()
