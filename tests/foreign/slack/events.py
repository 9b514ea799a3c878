"""slack_bolt receives the events of the world of Slack over HTTP; slack_sdk's SignatureVerifier checks each request."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from slack_bolt import App, BoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.models.blocks import Block, RichTextBlock
from slack_sdk.signature import SignatureVerifier

from world import check, has, main, same


class Receiver:
    """A Bolt app behind a server. `script` holds answers that are given instead of Bolt's, in order."""

    def __init__(self, world, bot, secret=None):
        self.requests, self.heard, self.script, self.stirred = [], [], [], threading.Condition()
        secret = secret or world.keys["signing_secret"]
        verifier = SignatureVerifier(secret)

        def authorize(enterprise_id, team_id):
            same(team_id, bot["team_id"])
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_user_id=bot["bot_user_id"],
                                   bot_id=bot["bot_id"], bot_token=bot["token"])

        app = App(signing_secret=secret, authorize=authorize, process_before_response=True,
                  client=WebClient(base_url=world.keys["api"]))
        for kind in ["message", "reaction_added", "reaction_removed", "channel_rename", "channel_archive",
                     "channel_unarchive", "group_rename", "channel_left", "member_joined_channel",
                     "member_left_channel", "user_change", "emoji_changed", "app_uninstalled", "tokens_revoked"]:
            subtypes = {"type": kind, "subtype": None} if kind == "message" else kind
            app.event(subtypes)(lambda event: self.heard.append(event))
        for subtype in ["bot_message", "me_message", "file_share", "thread_broadcast", "message_changed",
                        "message_deleted", "channel_join", "channel_leave", "channel_topic", "channel_name",
                        "channel_archive", "channel_unarchive"]:
            app.event({"type": "message", "subtype": subtype})(lambda event: self.heard.append(event))
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                if json.loads(body).get("type") == "app_rate_limited":
                    scripted = (200, {}, 0)  # Bolt does not know it: it would answer 404.
                else:
                    scripted = receiver.script.pop(0) if receiver.script else None
                if scripted:
                    status, more, wait = scripted
                    time.sleep(wait)
                    answer, said = (status, more), ""
                else:
                    got = app.dispatch(BoltRequest(body=body, headers=headers))
                    kept = {name: values[0] for name, values in got.headers.items() if name != "content-length"}
                    answer, said = (got.status, kept), got.body
                with receiver.stirred:
                    valid = verifier.is_valid_request(body, headers)
                    receiver.requests.append({"body": json.loads(body), "raw": body, "headers": headers,
                                              "status": answer[0], "said": said, "valid": valid})
                    receiver.stirred.notify_all()
                try:
                    self.send_response(answer[0])
                    for name, value in answer[1].items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(said.encode())))
                    self.end_headers()
                    self.wfile.write(said.encode())
                except BrokenPipeError:
                    pass  # the world has waited long enough

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/slack/events"


def scene(world, room="general"):
    bot = world.install()
    channel = world.channel(room, [])
    world.invites_bot(room)
    receiver = Receiver(world, bot)
    same(world.request_url(receiver.url), None)
    receiver.requests.clear()
    return bot, channel, receiver


def kinds(events):
    return [event.get("subtype") or event["type"] for event in events]


@check
def the_handshake_is_signed(world):
    bot = world.install()
    receiver = Receiver(world, bot)
    same(world.request_url(receiver.url), None)
    asked = receiver.requests[0]
    assert asked["valid"] and asked["body"]["type"] == "url_verification"
    same(json.loads(asked["said"]), {"challenge": asked["body"]["challenge"]})
    stranger = Receiver(world, bot, secret="another")
    same(world.request_url(stranger.url), "the request URL answered 401")


@check
def a_message_is_an_event(world):
    bot, channel, receiver = scene(world)
    ts = world.says("general", "ann", "Ship it <@%s> & tell :wave:" % bot["bot_user_id"])
    world.settled()
    request = receiver.requests[0]
    has(request, status=200, said="", valid=True)
    has(request["body"], type="event_callback", team_id=bot["team_id"], api_app_id=world.keys["app_id"])
    same(request["body"]["authorizations"], [{"enterprise_id": None, "team_id": bot["team_id"], "is_bot": True,
                                              "user_id": bot["bot_user_id"], "is_enterprise_install": False}])
    event = receiver.heard[0]
    has(event, type="message", user=world.person("ann"), ts=ts, event_ts=ts, channel=channel, channel_type="channel",
        text="Ship it <@%s> &amp; tell :wave:" % bot["bot_user_id"])
    block = Block.parse(event["blocks"][0])
    assert isinstance(block, RichTextBlock)
    parts = block.elements[0].elements
    same([part.type for part in parts], ["text", "user", "text", "emoji"])
    same(parts[2].text, " & tell ")
    parts[3].name
    tampered = request["raw"].replace("Ship", "Skip")
    verifier = SignatureVerifier(world.keys["signing_secret"])
    assert not verifier.is_valid_request(tampered, request["headers"])


@check
def own_messages_come_back_and_are_dropped(world):
    bot, channel, receiver = scene(world)
    web = WebClient(token=bot["token"], base_url=world.keys["api"])
    plain = web.chat_postMessage(channel=channel, text="as the bot")["ts"]
    named = web.chat_postMessage(channel=channel, text="as ann", username="ann (irc)", icon_emoji=":ghost:",
                                 metadata={"event_type": "relay", "event_payload": {}})["ts"]
    world.settled()
    same([request["status"] for request in receiver.requests], [200, 200])
    same(receiver.heard, [])
    first, second = [request["body"]["event"] for request in receiver.requests]
    has(first, ts=plain, bot_id=bot["bot_id"], user=bot["bot_user_id"], app_id=world.keys["app_id"])
    has(second, ts=named, subtype="bot_message", bot_id=bot["bot_id"], app_id=world.keys["app_id"], username="ann (irc)")
    assert "user" not in second and second["metadata"]["event_type"] == "relay"
    world.bot_says("general", "CI", "build 7 ok")
    world.settled()
    same(kinds(receiver.heard), ["bot_message"])
    # An echo may overtake the answer.
    world.echoes_first(True)
    web.chat_postMessage(channel=channel, text="quick")
    same(receiver.requests[-1]["body"]["event"]["text"], "quick")


@check
def every_change_has_its_event(world):
    bot, channel, receiver = scene(world)
    ts = world.says("general", "ann", "one")
    world.edits("general", ts, "two")
    world.unfurls("general", ts, "https://x.org")
    world.me("general", "ann", "waves")
    world.reply("general", "bob", ts, "reply")
    world.broadcasts("general", "bob", ts, "both")
    world.deletes("general", ts)
    short = world.says("general", "ann", "short")
    world.deletes("general", short)
    world.upload("general", "ann", "look", "a.png", "pixels")
    world.settled()
    same(kinds(receiver.heard), ["message", "message_changed", "message_changed", "me_message", "message",
                                 "thread_broadcast", "message_changed", "message", "message_deleted", "file_share"])
    said, edit, unfurl, _, reply, both, tomb, _, gone, share = receiver.heard
    has(edit, hidden=True, channel=channel)
    has(edit["message"], text="two", ts=ts)
    same(edit["message"]["edited"]["user"], world.person("ann"))
    has(edit["previous_message"], text="one")
    same(unfurl["message"]["edited"], unfurl["previous_message"]["edited"])
    same(unfurl["message"]["text"], unfurl["previous_message"]["text"])
    has(reply, thread_ts=ts, parent_user_id=world.person("ann"))
    same(both["root"]["ts"], ts)
    has(tomb["message"], subtype="tombstone", ts=ts)
    has(gone, deleted_ts=short)
    has(gone["previous_message"], text="short")
    has(share["files"][0], name="a.png", mode="hosted", size=6)
    stamps = [event["event_ts"] for event in receiver.heard]
    same(stamps, sorted(set(stamps)))


@check
def rooms_and_people_change(world):
    bot, channel, receiver = scene(world)
    ts = world.says("general", "ann", "nice")
    world.reacts("general", "bob", ts, "thumbsup")
    world.unreacts("general", "bob", ts, "thumbsup")
    world.joins("general", "carl")
    world.topic("general", "ann", "news")
    world.leaves("general", "carl")
    world.renames("general", "ann", "lobby")
    world.archives("lobby", "ann")
    world.unarchives("lobby", "ann")
    world.profile("ann", {"display_name": "Ann"})
    world.emoji("shipit", "https://x.example/s.png")
    world.removes_bot("lobby")
    world.says("lobby", "ann", "nobody listens")
    world.settled()
    wanted = ["message", "reaction_added", "reaction_removed", "channel_join", "member_joined_channel", "channel_topic",
              "channel_leave", "member_left_channel", "channel_name", "channel_rename", "channel_archive",
              "channel_archive", "channel_unarchive", "channel_unarchive", "user_change", "add", "member_left_channel", "channel_left"]
    # Bolt drops the notice that the bot left, as it drops all that the bot itself says.
    same(kinds(receiver.heard), wanted)
    reaction = receiver.heard[1]
    has(reaction, user=world.person("bob"), reaction="thumbsup", item_user=world.person("ann"))
    same(reaction["item"], {"type": "message", "channel": channel, "ts": ts})
    same(receiver.heard[9]["channel"]["name"], "lobby")


@check
def a_failed_delivery_is_tried_again(world):
    bot, channel, receiver = scene(world)
    world.retries_after_ms(0, 20, 20)
    receiver.script = [(500, {}, 0), (503, {}, 0)]
    world.says("general", "ann", "third time lucky")
    world.settled()
    same([request["status"] for request in receiver.requests], [500, 503, 200])
    same([request["headers"].get("x-slack-retry-num") for request in receiver.requests], [None, "1", "2"])
    same(receiver.requests[2]["headers"]["x-slack-retry-reason"], "http_error")
    same(len({request["body"]["event_id"] for request in receiver.requests}), 1)
    assert all(request["valid"] for request in receiver.requests)
    same(len(receiver.heard), 1)
    receiver.requests.clear()
    receiver.script = [(500, {"x-slack-no-retry": "1"}, 0)]
    world.says("general", "ann", "never again")
    world.settled()
    same(len(receiver.requests), 1)
    world.timeout_ms(150)
    receiver.script = [(200, {}, 0.5)]
    world.says("general", "ann", "slow")
    world.settled()
    reasons = [push["reason"] for push in world.dump()["pushes"]]
    assert "http_timeout" in reasons, reasons
    receiver.requests.clear()
    receiver.script = [(500, {}, 0)] * 4
    world.says("general", "ann", "lost")
    world.settled()
    deadline = time.time() + 5
    while len(receiver.requests) < 4 and time.time() < deadline:
        time.sleep(0.02)
    same(len([r for r in receiver.requests if r["body"]["event"]["text"] == "lost"]), 4)


@check
def events_come_twice_and_in_disorder(world):
    bot, channel, receiver = scene(world)
    world.holds()
    for text in ["one", "two", "three"]:
        world.says("general", "ann", text)
    world.releases(True)
    world.settled()
    same([event["text"] for event in receiver.heard], ["three", "two", "one"])
    receiver.requests.clear()
    world.duplicates(1)
    world.says("general", "ann", "twice")
    world.settled()
    same(len(receiver.requests), 2)
    same(receiver.requests[0]["body"], receiver.requests[1]["body"])
    receiver.requests.clear()
    world.drops(2)
    for text in ["lost", "lost too", "heard"]:
        world.says("general", "ann", text)
    world.settled()
    same([request["body"]["type"] for request in receiver.requests], ["app_rate_limited", "event_callback"])
    same(receiver.requests[1]["body"]["event"]["text"], "heard")


@check
def rooms_that_the_bot_is_not_in_are_silent(world):
    bot, channel, receiver = scene(world)
    world.channel("other", [])
    world.says("other", "ann", "psst")
    world.private("secret", ["ann"])
    world.renames("secret", "ann", "hidden")
    dm = world.dm("ann")
    world.says(dm, "ann", "hello bot")
    world.settled()
    same([(event["type"], event.get("channel_type")) for event in receiver.heard], [("message", "im")])
    world.scopes(["chat:write"])
    world.says("general", "ann", "unheard")
    world.settled()
    same(len(receiver.heard), 1)


@check
def the_end_is_told(world):
    bot, channel, receiver = scene(world)
    world.uninstalls()
    world.settled()
    same([request["body"]["event"]["type"] for request in receiver.requests], ["app_uninstalled", "tokens_revoked"])
    same(receiver.requests[1]["body"]["event"]["tokens"], {"oauth": [], "bot": [bot["bot_user_id"]]})
    world.says("general", "ann", "anybody?")
    world.settled()
    same(len(receiver.requests), 2)


main()
