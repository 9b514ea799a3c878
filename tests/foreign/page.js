// The page of local rooms in a real browser: Chromium, driven by the DevTools protocol over a pipe. Starts the binary as
// a newcomer does, comes in, types in one room, and reads it in the other. Usage: node page.js BINARY
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const PATIENCE_MS = 90_000;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sameroom-page-'));
const children = [];
/** What the page shows, once there is one. */
let shown = async () => 'no page yet';

/** Starts a program that ends with this one, and so do its helpers: it leads a group of processes. */
function start(program, args, stdio) {
    const child = spawn(program, args, { stdio, detached: true });
    children.push(child);
    return child;
}

/** The binary's ready line. */
function ready(binary) {
    const args = ['--json', '--data', path.join(folder, 'data'), '--listen', '127.0.0.1:0'];
    const child = start(binary, args, ['ignore', 'pipe', 'inherit']);
    return new Promise((resolve, reject) => {
        let said = '';
        child.stdout.on('data', (piece) => {
            said += piece;
            const line = said.split('\n').find((line) => line.includes('"ready"'));
            if (line && said.includes(line + '\n')) resolve(JSON.parse(line));
        });
        child.on('exit', (code) => reject(new Error(`the binary ended (${code}): ${said}`)));
    });
}

/** A browser: `call(method, params)`, and what pages complained of. */
function browser() {
    const args = [
        '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--no-first-run', '--window-size=1200,800', '--disable-background-networking', `--user-data-dir=${path.join(folder, 'profile')}`,
        'about:blank',
    ];
    const child = start('chromium', args, ['ignore', 'ignore', 'ignore', 'pipe', 'pipe']);
    // When it is killed its pipes break.
    for (const pipe of [child.stdio[3], child.stdio[4]]) pipe.on('error', () => {});
    const waiting = new Map();
    const complaints = [];
    let last = 0;
    let rest = '';
    child.stdio[4].on('data', (piece) => {
        const parts = (rest + piece).split('\0');
        rest = parts.pop();
        for (const message of parts.map((part) => JSON.parse(part))) {
            if (message.id) {
                const { resolve, reject } = waiting.get(message.id);
                waiting.delete(message.id);
                if (message.error) reject(new Error(message.error.message));
                else resolve(message.result);
            } else if (message.method === 'Runtime.exceptionThrown') {
                complaints.push(message.params.exceptionDetails.text);
            } else if (message.method === 'Log.entryAdded' && message.params.entry.level === 'error') {
                complaints.push(`${message.params.entry.text} ${message.params.entry.url || ''}`);
            }
        }
    });
    const call = (method, params = {}, sessionId = undefined) =>
        new Promise((resolve, reject) => {
            const id = ++last;
            waiting.set(id, { resolve, reject });
            child.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
        });
    return { call, complaints };
}

async function main() {
    const { page } = await ready(process.argv[2]);
    const { call, complaints } = browser();
    const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
    const tell = (method, params) => call(method, params, sessionId);
    for (const domain of ['Runtime', 'Log', 'Page']) await tell(`${domain}.enable`);

    /** The value of an expression in the page. */
    const value = async (expression) => (await tell('Runtime.evaluate', { expression, returnByValue: true })).result.value;
    /** Waits until an expression in the page is true. */
    const until = async (what, expression) => {
        while (!(await value(expression))) await new Promise((resolve) => setTimeout(resolve, 50));
        console.log(`ok: ${what}`);
    };

    /**
     * Types words into a field. What is typed goes to whatever has the focus just then: a window that is not in front yet
     * has none, and a dialog that closes gives it back a moment later. So it is typed until it is there.
     */
    const type = async (field, words) => {
        await until(`one types "${words}"`, `(${field}.focus(), document.activeElement === ${field})`);
        while ((await value(`${field}.value`)) !== words) {
            await value(`(${field}.focus(), ${field}.value = '')`);
            await tell('Input.insertText', { text: words });
        }
    };
    shown = () => value(`document.body.innerText`);

    await tell('Page.navigate', { url: page });
    await until('both rooms are shown', `document.querySelectorAll('.pane').length === 2`);
    const headings = await value(`[...document.querySelectorAll('.pane h2')].map((h2) => h2.textContent).join()`);
    const names = headings.split(',');
    if (!names.includes('Kitchen') || !names.includes('Garden')) throw new Error(`the rooms are ${headings}`);
    const field = `document.querySelector('.pane textarea')`;
    await until('it asks who one is', `document.querySelector('#ask').open`);
    await type(`document.querySelector('#name')`, 'Ada');
    // Whoever writes before the browser has said that the question is closed is not asked again, and has the name given.
    const log = (pane) => `document.querySelectorAll('.pane')[${pane}].querySelector('.log').textContent`;
    await value(`document.querySelector('#ask .go').click();
        ${field}.value = 'At once';
        ${field}.dispatchEvent(new Event('input'));
        document.querySelector('.pane .send').click();`);
    await until('one comes in', `!document.querySelector('#ask').open`);
    await until('what is written at once is there', `${log(0)}.includes('At once')`);

    const words = 'Hello <b>there</b> & everywhere';
    await type(field, words);
    await until('it can be sent', `!document.querySelector('.pane .send').disabled`);
    await value(`document.querySelector('.pane .send').click()`);
    for (const [pane, name] of names.entries()) {
        await until(`the words are in the ${name}, as they were typed`, `${log(pane)}.includes(${JSON.stringify(words)})`);
        await until(`and so is their author`, `${log(pane)}.includes('Ada')`);
    }
    const count = await value(`${log(1)}.split(${JSON.stringify(words)}).length - 1`);
    if (count !== 1) throw new Error(`the words are there ${count} times`);
    if (complaints.length > 0) throw new Error(`the browser complains: ${complaints.join('; ')}`);
    console.log('ok: the browser has nothing to complain of');
}

/** Who waits for ever says where. */
async function tooLong() {
    const silence = new Promise((resolve) => setTimeout(resolve, 5_000, 'the browser does not answer'));
    const text = await Promise.race([shown().catch((error) => error.message), silence]);
    await end(new Error(`it took too long; the page shows:\n${text}`));
}

const late = setTimeout(tooLong, PATIENCE_MS);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => end(new Error(`${signal} came`)));

async function end(error) {
    clearTimeout(late);
    if (error) console.error(`FAILED: ${error.message}`);
    for (const child of children) {
        child.removeAllListeners('exit');
        try {
            process.kill(-child.pid, 'SIGKILL');
        } catch {
            // It has ended already.
        }
    }
    // Who was killed may still be writing to the folder, on a busy machine for seconds.
    for (let tries = 0; tries < 100; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        try {
            fs.rmSync(folder, { recursive: true, force: true });
            break;
        } catch {
            // Once more.
        }
    }
    process.exit(error ? 1 : 0);
}

main().then(() => end(null), end);
