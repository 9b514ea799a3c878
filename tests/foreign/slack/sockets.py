"""slack_sdk's clients of Socket Mode (its own, websocket-client's and aiohttp's) hold connections to the world."""

import asyncio
import json
import time

import websocket
from slack_sdk import WebClient
from slack_sdk.socket_mode.aiohttp import SocketModeClient as AiohttpClient
from slack_sdk.socket_mode.builtin import SocketModeClient as BuiltinClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.socket_mode.websocket_client import SocketModeClient as WebsocketClient
from slack_sdk.web.async_client import AsyncWebClient

from world import check, has, main, same


class Listener:
    """A client, and the requests it got. `deaf`: so many of the next ones are not acknowledged."""

    def __init__(self, world, kind=BuiltinClient, deaf=0):
        self.requests, self.deaf = [], deaf
        self.client = kind(app_token=world.keys["app_token"], web_client=WebClient(base_url=world.keys["api"]),
                           **({"ping_interval": 1} if kind is BuiltinClient else {}))
        self.client.socket_mode_request_listeners.append(self.hears)
        self.client.connect()

    def hears(self, client, request):
        self.requests.append(request)
        if self.deaf:
            self.deaf -= 1
            return
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    def texts(self):
        return [request.payload["event"]["text"] for request in self.requests]


def scene(world):
    bot = world.install()
    world.channel("general", [])
    world.invites_bot("general")
    world.settled()  # nobody is told that the bot came
    world.socket_mode(True)
    return bot


def pushes(world):
    return [push for push in world.dump()["pushes"] if push["envelope"]["event"].get("user") == world.person("ann")]


def receives(world, kind):
    scene(world)
    listener = Listener(world, kind)
    world.is_connected(1)
    for text in ["one", "two"]:
        world.says("general", "ann", text)
    world.settled()
    same(listener.texts(), ["one", "two"])
    has(listener.requests[0].payload, type="event_callback", api_app_id=world.keys["app_id"])
    same([push["status"] for push in pushes(world)], [200, 200])
    listener.client.close()
    world.is_connected(0)


@check
def the_builtin_client_receives_and_acknowledges(world):
    receives(world, BuiltinClient)


@check
def websocket_client_receives_and_acknowledges(world):
    receives(world, WebsocketClient)


@check
def aiohttp_receives_and_acknowledges(world):
    scene(world)
    heard = []

    async def talk():
        client = AiohttpClient(app_token=world.keys["app_token"], web_client=AsyncWebClient(base_url=world.keys["api"]))

        async def hears(client, request):
            heard.append(request.payload["event"]["text"])
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

        client.socket_mode_request_listeners.append(hears)
        await client.connect()
        await asyncio.to_thread(world.is_connected, 1)
        world.says("general", "ann", "hi")
        await asyncio.to_thread(world.settled)
        await client.close()

    asyncio.run(talk())
    same(heard, ["hi"])
    same([push["status"] for push in pushes(world)], [200])


@check
def what_is_not_acknowledged_comes_again(world):
    scene(world)
    world.timeout_ms(400)
    world.retries_after_ms(0, 0, 0)
    listener = Listener(world, deaf=2)
    world.is_connected(1)
    world.says("general", "ann", "again")
    world.settled()
    same(listener.texts(), ["again"] * 3)
    same([(push["attempt"], push["status"]) for push in pushes(world)], [(0, None), (1, None), (2, 200)])
    same([request.retry_attempt for request in listener.requests], [0, 1, 2])
    same([request.retry_reason for request in listener.requests], ["", "timeout", "timeout"])
    same(len({request.payload["event_id"] for request in listener.requests}), 1)
    listener.client.close()


@check
def any_one_connection_gets_an_event(world):
    scene(world)
    listeners = [Listener(world), Listener(world)]
    world.is_connected(2)
    for n in range(6):
        world.says("general", "ann", str(n))
    world.settled()
    same(sorted(listeners[0].texts() + listeners[1].texts()), [str(n) for n in range(6)])
    assert listeners[0].requests and listeners[1].requests
    for listener in listeners:
        listener.client.close()


@check
def a_refreshed_client_comes_back(world):
    scene(world)
    world.retries_after_ms(0, 500, 500)
    listener = Listener(world)
    world.is_connected(1)
    calls = lambda: len([call for call in world.dump()["calls"] if call["method"] == "apps.connections.open"])
    same(calls(), 1)
    world.disconnects("refresh_requested")
    deadline = time.time() + 15
    while calls() < 2 and time.time() < deadline:
        time.sleep(0.05)
    assert calls() >= 2
    world.is_connected(1)
    world.says("general", "ann", "after")
    world.settled()
    same(listener.texts(), ["after"])
    listener.client.close()


@check
def a_ticket_is_good_once(world):
    scene(world)
    web = WebClient(base_url=world.keys["api"])
    url = web.apps_connections_open(app_token=world.keys["app_token"])["url"]
    one = websocket.create_connection(url)
    hello = json.loads(one.recv())
    has(hello, type="hello", num_connections=1, connection_info={"app_id": world.keys["app_id"]})
    try:
        websocket.create_connection(url)
        raise AssertionError("the same ticket was taken twice")
    except websocket.WebSocketBadStatusException as refused:
        same(refused.status_code, 403)
    one.close()
    world.socket_mode(False)
    url = web.apps_connections_open(app_token=world.keys["app_token"])["url"]
    two = websocket.create_connection(url)
    has(json.loads(two.recv()), type="disconnect", reason="link_disabled")


main()
