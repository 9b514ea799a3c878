"""Drives the world of Slack: starts the program named on the command line, and sends it commands as lines of JSON."""

import json
import subprocess
import sys
import threading
import traceback


class World:
    def __init__(self):
        program = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.program, self.lock = program, threading.Lock()
        self.keys = json.loads(program.stdout.readline())

    def __getattr__(self, command):
        """`world.says("general", "ann", "hi")`."""
        return lambda *args: self.tell(command, *args)

    def tell(self, *words):
        with self.lock:
            self.program.stdin.write(json.dumps(words) + "\n")
            self.program.stdin.flush()
            answer = json.loads(self.program.stdout.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{words}: {answer['error']}")
        return answer

    def close(self):
        self.program.stdin.close()
        self.program.wait(10)


CHECKS = []


def check(function):
    """A function that is one check. It gets a world of its own."""
    CHECKS.append(function)
    return function


def same(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def has(thing, **wanted):
    for key, value in wanted.items():
        assert thing.get(key) == value, f"{key} is {thing.get(key)!r}, not {value!r}, in {thing!r}"


def main():
    passed = failed = 0
    for function in CHECKS:
        world = World()
        try:
            function(world)
            passed += 1
            print(f"test {function.__name__} ... ok")
        except Exception as failure:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"error: {failure}")
            print(f"test {function.__name__} ... FAILED")
        finally:
            world.close()
    # As cargo's tests say it, so that tests/run counts them.
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed; 0 ignored")
    sys.exit(failed > 0)
