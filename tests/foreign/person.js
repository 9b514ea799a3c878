// A person on IRC, by irc-framework: takes orders as JSON lines on standard input, tells what happens as JSON lines on
// standard output.
'use strict';

const readline = require('readline');
const { Client } = require('irc-framework');

const client = new Client();
const tell = (event) => process.stdout.write(JSON.stringify({ ...event, at: Date.now() }) + '\n');

client.on('registered', (event) => tell({ event: 'registered', nick: event.nick }));
client.on('join', (event) => tell({ event: 'join', nick: event.nick, channel: event.channel }));
client.on('part', (event) => tell({ event: 'part', nick: event.nick, channel: event.channel }));
client.on('quit', (event) => tell({ event: 'quit', nick: event.nick, text: event.message }));
client.on('kick', (event) => tell({ event: 'kick', nick: event.kicked, channel: event.channel }));
client.on('userlist', (event) =>
    tell({ event: 'names', channel: event.channel, nicks: event.users.map((user) => user.nick) }));
client.on('mode', (event) => tell({ event: 'mode', channel: event.target, modes: event.raw_modes }));
client.on('whois', (event) => tell({ event: 'whois', nick: event.nick, host: event.actual_hostname || event.hostname, name: event.real_name }));
client.on('irc error', (event) => tell({ event: 'error', text: `${event.error}: ${event.reason}` }));
client.on('sasl failed', (event) => tell({ event: 'error', text: `sasl: ${event.reason}` }));
client.on('close', () => tell({ event: 'close' }));
client.on('socket error', (error) => tell({ event: 'error', text: String(error) }));
client.on('message', (event) =>
    tell({
        event: 'message',
        type: event.type,
        nick: event.nick,
        target: event.target,
        text: event.message,
        account: event.account || null,
    }));

const orders = {
    connect: (order) =>
        client.connect({
            host: '127.0.0.1',
            port: order.port,
            nick: order.nick,
            username: order.nick,
            gecos: order.nick,
            tls: order.tls || false,
            rejectUnauthorized: false,
            account: order.account || undefined,
            encoding: order.encoding || 'utf8',
            auto_reconnect: false,
        }),
    join: (order) => client.join(order.channel, order.key),
    part: (order) => client.part(order.channel),
    say: (order) => client.say(order.to, order.text),
    action: (order) => client.action(order.to, order.text),
    whois: (order) => client.whois(order.nick),
    raw: (order) => client.raw(order.line),
    quit: () => client.quit('bye'),
};

readline
    .createInterface({ input: process.stdin })
    .on('line', (line) => {
        const order = JSON.parse(line);
        orders[order.do](order);
    })
    .on('close', () => process.exit(0));
