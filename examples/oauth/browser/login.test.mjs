// People log in with real browsers by authorization code and PKCE, and live
// through an expiry, a refresh, a lost network, a revocation and a log-out.

import assert from "node:assert/strict";
import { TRANSPORTS, scene } from "./person.mjs";

// within runs something and fails if it takes longer than a second.
async function within(what, f) {
  const began = Date.now();
  await f();
  const took = Date.now() - began;
  assert.ok(took < 1000, `${what} took ${took} ms`);
}

scene("a private and a shared topic, live on every transport", {}, async ({ person }) => {
  const ann = await (await person()).logIn("ann");
  const bob = await (await person()).logIn("bob");
  await Promise.all([ann.state("live"), bob.state("live")]);
  await ann.say("hello", "all");
  await Promise.all([ann.shows("ann: hello"), bob.shows("ann: hello")]);
  await ann.say("a secret", "me");
  await ann.shows("ann: a secret");
  await bob.say("hello, ann", "all");
  await Promise.all([ann.shows("bob: hello, ann"), bob.shows("bob: hello, ann")]);
  for (const t of TRANSPORTS) {
    assert.deepEqual(await ann.entries(t), ["ann: hello", "ann: a secret", "bob: hello, ann"], `ann on ${t}`);
    assert.deepEqual(await bob.entries(t), ["ann: hello", "bob: hello, ann"], `bob on ${t}`);
  }
});

scene("a native EventSource survives the network, and its URL is of no use to others", {}, async ({ app, proxy, person }) => {
  const tab = await (await person()).logIn("ann");
  await tab.state("live");
  const before = await tab.note("EventSource");
  proxy.cut();
  await tab.state("opening", "EventSource", "WebSocket");
  proxy.pass();
  await tab.state("live", "EventSource", "WebSocket"); // with the ticket that is spent, and the cookie
  assert.notEqual(await tab.note("EventSource"), before, "it is another connection");
  await app.say(await app.token(), "still here");
  await tab.shows("robot: still here", "EventSource", "WebSocket");
  const [url] = tab.urls.filter((u) => u.includes("ticket="));
  assert.equal(tab.urls.filter((u) => u.includes("ticket=")).every((u) => u === url), true, "it came back with another ticket");
  const stolen = await fetch(url, { headers: { Accept: "text/event-stream", "Sec-Fetch-Site": "same-origin" } });
  assert.equal(stolen.status, 401);
  assert.equal(await tab.page.evaluate(() => document.cookie), "", "a script can read the resume cookie");
});

scene("streams go on past their token with a fresh one, without a reconnect", { args: ["-token-life", "8s"] }, async ({ app, person }) => {
  const tab = await (await person()).logIn("ann");
  await tab.state("live");
  const before = await tab.notes();
  const end = Date.now() + 10_000;
  await tab.until("the first token is over", (t) => Date.now() > t, end);
  await app.say(await app.token(), "later");
  await tab.shows("robot: later");
  await tab.state("live");
  assert.deepEqual(await tab.notes(), before, "the connections are the same");
});

scene("without a fresh token every stream ends when it expires", { args: ["-token-life", "6s"] }, async ({ app, person }) => {
  const tab = await (await person()).logIn("ann", "?refresh=off");
  await tab.state("live");
  await tab.state("stopped", "EventSource", "WebSocket", "long polling");
  const [sse, ws, poll] = await tab.notes();
  assert.match(sse, /^3000 /);
  assert.match(ws, /^3000 /);
  assert.match(poll, /^401 /);
  await app.say(await app.token(), "too late");
  for (const t of TRANSPORTS) assert.deepEqual(await tab.entries(t), [], t);
});

scene("a revocation ends every stream within a second", {}, async ({ app, person }) => {
  const ann = await (await person()).logIn("ann");
  const bob = await (await person()).logIn("bob");
  await Promise.all([ann.state("live"), bob.state("live")]);
  await app.token("admin"); // so that the provider has nothing left to think about
  await within("the end", async () => {
    await app.revoke({ sub: "ann" });
    await ann.state("stopped");
  });
  const [sse, ws, poll] = await ann.notes();
  assert.match(sse, /^3003 /);
  assert.match(ws, /^3003 /);
  assert.match(poll, /^403 /);
  await bob.state("live");
});

scene("a log-out ends every stream of that log-in within a second", {}, async ({ person }) => {
  const ann = await person();
  const first = await ann.logIn("ann");
  const second = await ann.logIn(); // another tab; the provider knows ann
  const elsewhere = await (await person()).logIn("ann"); // another browser: another log-in
  await Promise.all([first.state("live"), second.state("live"), elsewhere.state("live")]);
  await second.page.click("#logout");
  await second.page.waitForSelector("#login:not([hidden])");
  await within("the end in the other tab", () => first.state("stopped"));
  const [sse, ws] = await first.notes();
  assert.match(sse, /^3003 /);
  assert.match(ws, /^3003 /);
  await elsewhere.state("live");
  await elsewhere.say("I am still here", "all");
  await elsewhere.shows("ann: I am still here");
  for (const t of TRANSPORTS) assert.deepEqual(await first.entries(t), [], `the tab that was logged out, on ${t}`);
});
