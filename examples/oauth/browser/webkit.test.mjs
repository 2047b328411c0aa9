// WebKit keeps the resume cookie over TLS only. There a native EventSource comes
// back by itself; over plain http a page fetches a new ticket after a cut.

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { FaultProxy } from "../../../client/test/proxy.mjs";
import { freePort } from "../../wall/browser/wall.mjs";
import { WebKit } from "../../wall/browser/webkit.mjs";
import { App } from "./app.mjs";
import { TLSFront } from "./tls.mjs";

const TIME = 120_000; // ms for one test

let browser;
before(async () => (browser = await WebKit.launch({ acceptInsecureCerts: true })), { timeout: TIME });
after(() => browser?.close());

// scene is a test with an app of its own, which WebKit reaches through a fault
// proxy, over TLS or not.
function scene(title, { tls }, play) {
  test(title, { timeout: TIME }, async () => {
    const port = await freePort();
    const proxy = new FaultProxy(port);
    await proxy.listen();
    const front = tls ? await TLSFront.listen(new URL(proxy.url).port) : undefined;
    const app = await App.start({ port, url: (front || proxy).url });
    const page = await browser.newPage();
    try {
      await page.goto(app.url);
      await play({ proxy, page, token: await app.token(), ask: (...of) => ask(app, ...of) });
    } finally {
      await page.close();
      if (front) front.close();
      proxy.close();
      assert.equal(await app.stop(), "");
    }
  });
}

// ask asks the app itself, whatever the network of the browser is like, and
// returns the status.
async function ask(app, method, path, headers, body) {
  const asked = request({ method, path, port: app.port, host: "127.0.0.1", headers: { ...headers, Host: new URL(app.url).host } });
  const [answer] = await once(asked.end(body), "response");
  answer.destroy();
  return answer.statusCode;
}

// say publishes in order, past the browser's network.
async function say({ ask, token }, ...texts) {
  for (const text of texts) {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Push-Event": "say" };
    assert.equal(await ask("POST", "/push/topics/chat/room", headers, JSON.stringify({ text })), 201);
  }
}

// listen fetches a ticket in the page, opens an EventSource with it after what
// the page has seen, and returns the URL.
function listen({ page, token }) {
  return page.evaluate(async (token) => {
    const answer = await fetch("/push/tickets", { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: '{"topics":["chat/room"]}' });
    const { sse_url } = await answer.json();
    const seen = (window.seen ??= { texts: [], opens: 0, cursor: "" });
    const source = new EventSource(seen.cursor ? `${sse_url}&after=${seen.cursor}` : sse_url);
    const note = (change) => (e) => {
      seen.cursor = e.lastEventId || seen.cursor;
      change(e);
      dispatchEvent(new Event("seen"));
    };
    source.addEventListener("push.open", note(() => seen.opens++));
    source.addEventListener("say", note((e) => seen.texts.push(JSON.parse(e.data).text)));
    source.onerror = note(() => (seen.refused = source.readyState === EventSource.CLOSED));
    return sse_url;
  }, token);
}

// seen waits until the page has seen as much, or was refused for good, and
// returns what it saw.
function seen({ page }, { opens = 0, texts = 0 }) {
  return page.evaluate((opens, texts) => new Promise((done) => {
    const look = () => {
      const { seen } = window;
      if (!seen.refused && (seen.opens < opens || seen.texts.length < texts)) return;
      removeEventListener("seen", look);
      done(seen);
    };
    addEventListener("seen", look);
    look();
  }), opens, texts);
}

scene("over TLS WebKit's EventSource comes back with the cookie, and nothing is lost or doubled", { tls: true }, async (stage) => {
  const { page, proxy, ask } = stage;
  const url = await listen(stage);
  await seen(stage, { opens: 1 });
  await say(stage, "a", "b");
  await seen(stage, { texts: 2 });
  for (let cuts = 1; cuts <= 2; cuts++) {
    proxy.cut();
    await say(stage, `lost ${cuts}`);
    proxy.pass();
    await say(stage, `found ${cuts}`);
    const { refused } = await seen(stage, { opens: 1 + cuts, texts: 2 + 2 * cuts });
    assert.ok(!refused, "its reconnect was refused");
  }
  await say(stage, "z");
  assert.deepEqual((await seen(stage, { texts: 7 })).texts, ["a", "b", "lost 1", "found 1", "lost 2", "found 2", "z"]);

  const status = (credentials) => page.evaluate(async (url, credentials) => {
    const stop = new AbortController();
    const { status } = await fetch(url, { credentials, headers: { Accept: "text/event-stream" }, signal: stop.signal });
    stop.abort();
    return status;
  }, url, credentials);
  assert.equal(await status("same-origin"), 200, "the URL, with the cookie");
  assert.equal(await status("omit"), 401, "the URL, without the cookie");
  const { pathname, search } = new URL(url);
  assert.equal(await ask("GET", pathname + search, { Accept: "text/event-stream", "Sec-Fetch-Site": "same-origin" }), 401, "the URL, by somebody else");
});

scene("over plain http WebKit has no cookie: refused after a cut, a page goes on with a new ticket", { tls: false }, async (stage) => {
  await listen(stage);
  await seen(stage, { opens: 1 });
  await say(stage, "a");
  await seen(stage, { texts: 1 });
  stage.proxy.cut();
  await say(stage, "lost");
  stage.proxy.pass();
  assert.equal((await seen(stage, { opens: 2 })).refused, true);
  await stage.page.evaluate(() => (window.seen.refused = false));
  await listen(stage);
  await seen(stage, { opens: 2 });
  await say(stage, "z");
  assert.deepEqual((await seen(stage, { texts: 3 })).texts, ["a", "lost", "z"]);
});
