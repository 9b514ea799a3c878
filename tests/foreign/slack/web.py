"""slack_sdk's WebClient calls every method of the world of Slack."""

import io
import time
import urllib.error
import urllib.request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.oauth import AuthorizeUrlGenerator

from world import check, has, main, same

REDIRECT = "https://sameroom.example/oauth/slack"


def client(world, token=None):
    return WebClient(token=token or world.install()["token"], base_url=world.keys["api"])


def refused(call, error, **more):
    try:
        call()
    except SlackApiError as refusal:
        has(refusal.response.data, error=error, **more)
        return refusal.response
    raise AssertionError(f"{error} was expected")


def stays(url):
    """Where a page redirects to, without following."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        return urllib.request.build_opener(Stay).open(url).headers.get("location")
    except urllib.error.HTTPError as moved:
        same(moved.code, 302)
        return moved.headers["location"]


def query(url):
    from urllib.parse import parse_qsl, urlsplit

    return dict(parse_qsl(urlsplit(url).query))


@check
def who_am_i(world):
    bot = world.install()
    answer = client(world, bot["token"]).auth_test()
    has(answer.data, ok=True, team_id=bot["team_id"], user_id=bot["bot_user_id"], bot_id=bot["bot_id"], team="Acme")
    assert "chat:write" in answer.headers["x-oauth-scopes"]
    refused(lambda: client(world, "xoxb-no").auth_test(), "invalid_auth")
    refused(lambda: WebClient(base_url=world.keys["api"]).auth_test(), "not_authed")
    refused(lambda: client(world, world.keys["app_token"]).auth_test(), "not_allowed_token_type")
    refused(lambda: client(world, bot["token"]).api_call("auth.tset"), "unknown_method")


@check
def oauth_code_is_exchanged_once(world):
    keys = world.keys
    world.person("ann")
    asked = AuthorizeUrlGenerator(
        client_id=keys["client_id"], redirect_uri=REDIRECT, scopes=["chat:write", "channels:read"],
        authorization_url=keys["authorize"],
    ).generate("state-1")
    world.denies()
    same(query(stays(asked)), {"error": "access_denied", "state": "state-1"})
    world.agrees("ann")
    back = query(stays(asked))
    same(back["state"], "state-1")
    web = WebClient(base_url=keys["api"])

    def exchange(**other):
        args = dict(client_id=keys["client_id"], client_secret=keys["client_secret"], code=back["code"],
                    redirect_uri=REDIRECT)
        return web.oauth_v2_access(**{**args, **other})

    refused(lambda: exchange(client_id="1.2"), "invalid_client_id")
    refused(lambda: exchange(client_secret="no"), "bad_client_secret")
    refused(lambda: exchange(code="no"), "invalid_code")
    refused(lambda: exchange(redirect_uri=REDIRECT + "/"), "bad_redirect_uri")
    got = exchange()
    has(got.data, token_type="bot", scope="chat:write,channels:read", app_id=keys["app_id"], enterprise=None)
    same(got["authed_user"]["id"], world.person("ann"))
    same(client(world, got["access_token"]).auth_test()["user_id"], got["bot_user_id"])
    refused(exchange, "code_already_used")
    world.agrees("ann")
    back = query(stays(asked))
    world.pass_s(601)
    refused(exchange, "invalid_code")


@check
def tokens_rotate(world):
    keys = world.keys
    world.rotates(True)
    world.person("ann")
    world.agrees("ann")
    asked = AuthorizeUrlGenerator(client_id=keys["client_id"], redirect_uri=REDIRECT, scopes=["chat:write"],
                                  authorization_url=keys["authorize"]).generate("s")
    code = query(stays(asked))["code"]
    web = WebClient(base_url=keys["api"])
    own = dict(client_id=keys["client_id"], client_secret=keys["client_secret"])
    first = web.oauth_v2_access(code=code, redirect_uri=REDIRECT, **own)
    same(first["expires_in"], 43200)
    assert first["refresh_token"].startswith("xoxe-1-") and first["access_token"].startswith("xoxe.xoxb-1-")
    world.pass_s(43201)
    refused(lambda: client(world, first["access_token"]).auth_test(), "token_expired")
    again = dict(grant_type="refresh_token", **own)
    second = web.oauth_v2_access(refresh_token=first["refresh_token"], **again)
    client(world, second["access_token"]).auth_test()
    refused(lambda: web.oauth_v2_access(refresh_token=first["refresh_token"], **again), "invalid_refresh_token")
    third = web.oauth_v2_access(refresh_token=second["refresh_token"], **again)
    same(third["bot_user_id"], first["bot_user_id"])


@check
def tokens_end(world):
    web = client(world)
    same(web.auth_revoke(test=True)["revoked"], False)
    same(web.auth_revoke()["revoked"], True)
    refused(web.auth_test, "token_revoked")
    own = dict(client_id=world.keys["client_id"], client_secret=world.keys["client_secret"])
    web = client(world)
    refused(lambda: web.apps_uninstall(client_id="1.2", client_secret="no"), "invalid_client_id")
    web.apps_uninstall(**own)
    refused(web.auth_test, "account_inactive")


@check
def scopes_are_asked_for(world):
    bot = world.install(["chat:write"])
    web = client(world, bot["token"])
    channel = world.channel("general", ["ann"])
    refused(lambda: web.conversations_list(), "missing_scope", needed="channels:read", provided="chat:write")
    refused(lambda: web.conversations_list(types="private_channel"), "missing_scope", needed="groups:read")
    refused(lambda: web.conversations_history(channel=channel), "missing_scope", needed="channels:history")
    refused(lambda: web.users_info(user=world.person("ann")), "missing_scope", needed="users:read")
    refused(lambda: web.apps_connections_open(app_token=bot["token"]), "not_allowed_token_type")
    # Without the scope another name is silently ignored.
    world.invites_bot("general")
    same(web.chat_postMessage(channel=channel, text="x", username="ann")["message"].get("username"), None)


@check
def rooms_are_listed_page_by_page(world):
    web = client(world)
    for n in range(7):
        world.channel(f"c{n}", ["ann"])
    world.private("secret", ["ann"])
    world.private("mine", ["ann"])
    world.invites_bot("mine")
    world.archives("c0", "ann")
    pages = [page["channels"] for page in web.conversations_list(limit=3, exclude_archived=True)]
    same([len(page) for page in pages], [3, 3, 1])
    same([c["name"] for page in pages for c in page], ["general"] + [f"c{n}" for n in range(1, 7)])
    listed = web.conversations_list(types="public_channel,private_channel", limit=200)["channels"]
    names = {c["name"]: c for c in listed}
    assert "secret" not in names and names["mine"]["is_private"] and names["c0"]["is_archived"]
    same(names["c1"]["num_members"], 1)
    same([c["name"] for c in web.users_conversations(types="public_channel,private_channel")["channels"]], ["mine"])
    refused(lambda: web.conversations_list(types="rooms"), "invalid_types")
    refused(lambda: web.conversations_list(limit=5000), "invalid_limit")
    refused(lambda: web.conversations_list(cursor="bm8="), "invalid_cursor")


@check
def rooms_are_joined_and_looked_at(world):
    bot = world.install()
    web = client(world, bot["token"])
    channel = world.channel("general", ["ann", "bob"])
    secret = world.private("secret", ["ann"])
    refused(lambda: web.conversations_history(channel=channel), "not_in_channel")
    joined = web.conversations_join(channel=channel)
    same(joined["channel"]["is_member"], True)
    same(web.conversations_join(channel=channel)["warning"], "already_in_channel")
    refused(lambda: web.conversations_join(channel=secret), "channel_not_found")
    refused(lambda: web.conversations_info(channel=secret), "channel_not_found")
    world.invites_bot("secret")
    refused(lambda: web.conversations_join(channel=secret), "method_not_supported_for_channel_type")
    same(web.conversations_info(channel=secret, include_num_members=True)["channel"]["num_members"], 2)
    members = [m for page in web.conversations_members(channel=channel, limit=2) for m in page["members"]]
    same(members, [world.person("ann"), world.person("bob"), bot["bot_user_id"]])
    dm = world.dm("ann")
    info = web.conversations_info(channel=dm)["channel"]
    assert info["is_im"] and info["user"] == world.person("ann")


@check
def people_bots_groups_emoji_team(world):
    bot = world.install()
    web = client(world, bot["token"])
    ann = world.person("ann")
    world.profile("ann", {"display_name": "", "real_name": "Ann Example"})
    user = web.users_info(user=ann)["user"]
    has(user, id=ann, name="ann", is_bot=False, deleted=False)
    has(user["profile"], display_name="", real_name="Ann Example")
    assert user["profile"]["image_72"].startswith(world.keys["base"])
    refused(lambda: web.users_info(user="U0"), "user_not_found")
    for n in range(4):
        world.person(f"p{n}")
    members = [m["name"] for page in web.users_list(limit=2) for m in page["members"]]
    same(members, ["sameroom", "ann", "p0", "p1", "p2", "p3"])
    has(web.bots_info(bot=bot["bot_id"])["bot"], name="Sameroom", app_id=world.keys["app_id"], user_id=bot["bot_user_id"])
    refused(lambda: web.bots_info(bot="B0"), "bot_not_found")
    group = world.group("ops", ["ann"])
    has(web.usergroups_list(include_users=True)["usergroups"][0], id=group, handle="ops", users=[ann])
    world.emoji("shipit", "https://x.example/s.png")
    world.emoji("ship", "alias:shipit")
    same(web.emoji_list()["emoji"], {"ship": "alias:shipit", "shipit": "https://x.example/s.png"})
    has(web.team_info()["team"], id=bot["team_id"], name="Acme", domain="acme")


@check
def messages_are_posted(world):
    bot = world.install()
    web = client(world, bot["token"])
    channel = world.channel("general", ["ann"])
    refused(lambda: web.chat_postMessage(channel=channel, text="x"), "not_in_channel")
    world.invites_bot("general")
    plain = web.chat_postMessage(channel=channel, text="a & <b> https://x.org")
    has(plain["message"], bot_id=bot["bot_id"], user=bot["bot_user_id"], app_id=world.keys["app_id"],
        text="a &amp; &lt;b&gt; <https://x.org>")
    as_ann = web.chat_postMessage(
        channel=channel, text="hello &lt;all&gt;", username="ann (irc)", icon_url="https://relay.example/a.png",
        unfurl_links=False, unfurl_media=True, link_names=False, parse="none",
        metadata={"event_type": "sameroom_relay", "event_payload": {"origin": "irc/#ops"}})
    has(as_ann["message"], subtype="bot_message", username="ann (irc)", bot_id=bot["bot_id"], ts=as_ann["ts"])
    assert "user" not in as_ann["message"]
    emoji = web.chat_postMessage(channel=channel, text="x", username="b", icon_emoji=":ghost:", icon_url="https://x.y/z")
    same(emoji["message"]["icons"], {"emoji": ":ghost:"})
    bare = web.chat_postMessage(channel=channel, text="https://x.org", parse="none")
    same(bare["message"]["text"], "https://x.org")
    refused(lambda: web.chat_postMessage(channel="C0", text="x"), "channel_not_found")
    refused(lambda: web.chat_postMessage(channel="#general", text="x"), "channel_not_found")
    refused(lambda: web.chat_postMessage(channel=channel, text=" "), "no_text")
    refused(lambda: web.chat_postMessage(channel=channel, text="x", thread_ts="1.000000"), "thread_not_found")
    refused(lambda: web.chat_postMessage(channel=channel, text="x", metadata={"event_type": "a.b", "event_payload": {}}),
            "invalid_metadata_format")
    long = web.chat_postMessage(channel=channel, text="é" * 40_001)
    same(long["warning"], "message_truncated")
    same(len(long["message"]["text"]), 40_000)
    world.archives("general", "ann")
    refused(lambda: web.chat_postMessage(channel=channel, text="x"), "is_archived")
    same(world.odd(), [])


@check
def threads_have_parents(world):
    web = client(world)
    channel = world.channel("general", [])
    world.invites_bot("general")
    parent = world.says("general", "ann", "parent")
    reply = web.chat_postMessage(channel=channel, text="reply", thread_ts=parent)
    shown = web.chat_postMessage(channel=channel, text="both", thread_ts=parent, reply_broadcast=True)
    same(shown["message"]["subtype"], "thread_broadcast")
    same(shown["message"]["root"]["text"], "parent")
    refused(lambda: web.chat_postMessage(channel=channel, text="x", thread_ts=reply["ts"]), "cannot_reply_to_message")
    replies = [m["text"] for page in web.conversations_replies(channel=channel, ts=parent, limit=2) for m in page["messages"]]
    same(replies, ["parent", "reply", "both"])
    history = web.conversations_history(channel=channel)["messages"]
    same([m["text"] for m in history[:2]], ["both", "parent"])
    has(history[1], reply_count=2, thread_ts=parent, latest_reply=shown["ts"])
    notice = web.conversations_history(channel=channel)["messages"][-1]
    same(notice["subtype"], "channel_join")
    refused(lambda: web.chat_postMessage(channel=channel, text="x", thread_ts=notice["ts"]), "cannot_reply_to_message")
    refused(lambda: web.conversations_replies(channel=channel, ts="1.2"), "thread_not_found")
    link = web.chat_getPermalink(channel=channel, message_ts=reply["ts"])["permalink"]
    assert link.endswith(f"p{reply['ts'].replace('.', '')}?thread_ts={parent}&cid={channel}"), link


@check
def history_is_read_back(world):
    web = client(world)
    channel = world.channel("general", [])
    world.invites_bot("general")
    stamps = [world.says("general", "ann", f"m{n}") for n in range(9)]
    mark = {"event_type": "relay", "event_payload": {"id": "m1"}}
    own = web.chat_postMessage(channel=channel, text="own", username="b", metadata=mark)["ts"]
    texts = [m["text"] for page in web.conversations_history(channel=channel, limit=4) for m in page["messages"]]
    same(texts[:10], ["own"] + [f"m{n}" for n in range(8, -1, -1)])
    same(len(texts), 11)  # and the notice that the bot came
    between = web.conversations_history(channel=channel, oldest=stamps[2], latest=stamps[5])["messages"]
    same([m["text"] for m in between], ["m4", "m3"])
    between = web.conversations_history(channel=channel, oldest=stamps[2], latest=stamps[5], inclusive=True)["messages"]
    same([m["text"] for m in between], ["m5", "m4", "m3", "m2"])
    found = web.conversations_history(channel=channel, oldest=own, inclusive=True, include_all_metadata=True)["messages"]
    same(found[0]["metadata"], mark)
    assert "metadata" not in web.conversations_history(channel=channel, limit=1)["messages"][0]
    refused(lambda: web.conversations_history(channel=channel, oldest="noon"), "invalid_ts_oldest")


@check
def own_messages_are_edited_and_deleted(world):
    web = client(world)
    channel = world.channel("general", [])
    world.invites_bot("general")
    ts = web.chat_postMessage(channel=channel, text="one", username="ann (irc)")["ts"]
    two = web.chat_update(channel=channel, ts=ts, text="two")
    has(two.data, text="two", ts=ts)
    has(two["message"], username="ann (irc)", subtype="bot_message")
    theirs = world.says("general", "ann", "hers")
    refused(lambda: web.chat_update(channel=channel, ts=theirs, text="x"), "cant_update_message")
    refused(lambda: web.chat_delete(channel=channel, ts=theirs), "cant_delete_message")
    refused(lambda: web.chat_update(channel=channel, ts="1.000000", text="x"), "message_not_found")
    refused(lambda: web.chat_update(channel=channel, ts=ts, text="x" * 4_001), "msg_too_long")
    assert "edited" in two["message"]
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*three*"}}]
    other = web.chat_postMessage(channel=channel, text="one")["ts"]
    assert "edited" not in web.chat_update(channel=channel, ts=other, text="three", blocks=blocks)["message"]
    world.keeps_impersonated(True)
    refused(lambda: web.chat_delete(channel=channel, ts=ts), "cant_delete_message")
    world.keeps_impersonated(False)
    web.chat_delete(channel=channel, ts=ts)
    refused(lambda: web.chat_delete(channel=channel, ts=ts), "message_not_found")
    web.chat_meMessage(channel=channel, text="waves")
    web.chat_postEphemeral(channel=channel, user=world.person("ann"), text="psst")
    same(world.whispers("general", "ann"), ["psst"])
    refused(lambda: web.chat_postEphemeral(channel=channel, user=world.person("carl"), text="x"), "user_not_in_channel")


@check
def reactions_come_and_go(world):
    web = client(world)
    channel = world.channel("general", [])
    world.invites_bot("general")
    ts = world.says("general", "ann", "nice")
    world.emoji("shipit", "https://x.example/s.png")
    for name in ["thumbsup", "wave::skin-tone-3", "shipit"]:
        web.reactions_add(channel=channel, timestamp=ts, name=name)
    refused(lambda: web.reactions_add(channel=channel, timestamp=ts, name="thumbsup"), "already_reacted")
    refused(lambda: web.reactions_add(channel=channel, timestamp=ts, name="no_such_emoji"), "invalid_name")
    refused(lambda: web.reactions_add(channel=channel, timestamp=ts, name=":wave:"), "invalid_name")
    refused(lambda: web.reactions_add(channel=channel, timestamp="1.000000", name="wave"), "message_not_found")
    same(len(web.conversations_history(channel=channel)["messages"][0]["reactions"]), 3)
    web.reactions_remove(channel=channel, timestamp=ts, name="shipit")
    refused(lambda: web.reactions_remove(channel=channel, timestamp=ts, name="shipit"), "no_reaction")


@check
def files_go_up_and_come_down(world):
    bot = world.install()
    web = client(world, bot["token"])
    channel = world.channel("general", [])
    world.invites_bot("general")
    parent = world.says("general", "ann", "parent")
    up = web.files_upload_v2(channel=channel, filename="a.txt", title="A", content="hello file", initial_comment="ann: see",
                             thread_ts=parent)
    file = up["file"]["id"]
    same(world.bytes(file), "hello file")
    deadline = time.time() + 10
    while not (shares := web.files_info(file=file)["file"].get("shares", {})) and time.time() < deadline:
        time.sleep(0.02)
    shared = shares["public"][channel][0]["ts"]
    message = [m for m in web.conversations_replies(channel=channel, ts=parent)["messages"] if m["ts"] == shared][0]
    has(message, text="ann: see", subtype="file_share", user=bot["bot_user_id"])
    two = web.files_upload_v2(channel=channel, file_uploads=[
        {"file": io.BytesIO(b"1"), "filename": "1.png", "title": "1"},
        {"file": io.BytesIO(b"22"), "filename": "2.png", "title": "2"}])
    same(len(two["files"]), 2)
    ts = world.upload("general", "ann", "look", "b.png", "pixels")
    seen = [m for m in web.conversations_history(channel=channel)["messages"] if m["ts"] == ts][0]["files"][0]
    has(seen, name="b.png", mimetype="image/png", size=6, mode="hosted")

    def get(token):
        request = urllib.request.Request(seen["url_private_download"], headers={"Authorization": f"Bearer {token}"})
        answer = urllib.request.urlopen(request)
        return answer.headers["content-type"], answer.read()

    same(get(bot["token"]), ("image/png", b"pixels"))
    kind, page = get("xoxb-wrong")
    assert kind.startswith("text/html") and b"Sign in" in page
    refused(lambda: web.files_info(file="F0"), "file_not_found")
    refused(lambda: web.files_completeUploadExternal(files=[{"id": "F0"}], channel_id=channel), "file_not_found")
    refused(lambda: web.files_sharedPublicURL(file=file), "not_allowed_token_type")
    person = client(world, world.user_token("ann", ["files:write"]))
    public = person.files_sharedPublicURL(file=seen["id"])["file"]["permalink_public"]
    same(urllib.request.urlopen(public).status, 200)
    refused(lambda: person.files_sharedPublicURL(file=seen["id"]), "already_public")
    same(world.odd(), [])


@check
def arguments_are_read_strictly(world):
    web = client(world)
    channel = world.channel("general", [])
    world.invites_bot("general")
    for method in ["conversations.list", "conversations.replies", "users.info", "files.getUploadURLExternal"]:
        refused(lambda: web.api_call(method, json={"channel": channel}), "invalid_arguments")
    answer = refused(lambda: web.api_call("chat.postMessage", json={"text": "x"}), "invalid_arguments")
    same(answer["response_metadata"]["messages"], ["[ERROR] missing required field: channel"])
    refused(lambda: web.api_call("chat.postMessage", json={"channel": channel, "text": 5}), "invalid_arguments")
    refused(lambda: web.api_call("chat.postMessage", json=[1]), "json_not_object")
    web.api_call("chat.postMessage", params={"channel": channel, "text": "by form", "colour": "red"})
    same(world.odd()[-1], "chat.postMessage has no argument colour")


@check
def limits_are_waited_for(world):
    bot = world.install()
    web = client(world, bot["token"])
    channel = world.channel("general", [])
    world.invites_bot("general")
    world.busy("chat.postMessage", 1, 1)
    limited = refused(lambda: web.chat_postMessage(channel=channel, text="x"), "ratelimited")
    same(limited.status_code, 429)
    same(limited.headers["retry-after"], "1")
    web.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
    world.busy("chat.postMessage", 2, 1)
    began = time.time()
    web.chat_postMessage(channel=channel, text="at last")
    assert time.time() - began >= 2
    same([m["text"] for m in world.messages("general") if m["who"] != "ann"][-1], "at last")
    world.fails("chat.postMessage", 1, "fatal_error")
    refused(lambda: web.chat_postMessage(channel=channel, text="x"), "fatal_error")
    calls = [call["status"] for call in world.dump()["calls"] if call["method"] == "chat.postMessage"]
    same(calls, [429, 429, 429, 200, 200])


main()
