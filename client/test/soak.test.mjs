// Every event once, in order, through cuts at any byte and switches of the
// transport. DELIVERIES, CUTS and SWITCHES make it longer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { staged, until } from "./stage.mjs";

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const DELIVERIES = number("DELIVERIES", 100_000);
const CUTS = number("CUTS", 20);
const SWITCHES = number("SWITCHES", 20);

const SETS = [["websocket", "sse", "long-poll"], ["sse", "long-poll"], ["long-poll"]];

test(`${DELIVERIES} deliveries through ${CUTS} cuts and ${SWITCHES} switches: none lost, doubled or out of order`, { timeout: 3_600_000 }, () => staged(async ({ server, proxy, read }) => {
  const seed = 20_240_607;
  let state = seed;
  const random = () => ((state = (state * 48_271) % 2_147_483_647) / 2_147_483_647);

  let next = 1; // the number that has to come
  let wrong;
  let gaps = 0;
  let switches = 0;
  let failures = 0;
  let cursor = "0";
  let set = 0;
  let push;
  // begin goes on from the cursor with a client that has other transports: all
  // that it knows of the one before is where that was.
  const begin = () => {
    ({ push } = read({ transports: SETS[set++ % SETS.length], after: cursor }));
    let last = "";
    push.onopen = () => {
      if (last && last !== push.transport) switches++;
      last = push.transport;
    };
    push.on("n", (n) => {
      if (n !== next++) wrong ??= `${n} came instead of ${next - 1}`;
    });
    push.ongap = () => gaps++;
    push.onerror = () => failures++;
  };
  const change = () => {
    cursor = push.cursor || cursor;
    push.close();
    switches++;
    begin();
  };

  begin();
  const batch = 1000;
  const batches = Math.ceil(DELIVERIES / batch);
  const every = (times) => Math.max(1, Math.floor(batches / times));
  for (let i = 0, changes = 0; i < batches; i++) {
    if (i % every(CUTS * 1.2) === 0) {
      let budget = 1 + Math.floor(random() * 60_000);
      proxy.flake(() => {
        const bytes = budget;
        budget = Infinity;
        return bytes;
      });
    }
    if (i % every(SWITCHES) === every(SWITCHES) - 1 && changes++ < SWITCHES) change();
    await server.burst("t/a", i * batch + 1, Math.min(batch, DELIVERIES - i * batch));
    await until(() => `${(i + 1) * batch} of them, and ${next - 1} came over ${push.transport}`, () => wrong || next > i * batch - 5000, 60_000);
    assert.equal(wrong, undefined);
  }
  await until(() => `the last one; ${next - 1} came over ${push.transport}`, () => wrong || next === DELIVERIES + 1, 60_000);
  assert.equal(wrong, undefined);
  assert.equal(gaps, 0);
  assert.ok(proxy.ended >= CUTS, `${proxy.ended} connections were cut in the middle of bytes`);
  assert.ok(switches >= SWITCHES, `${switches} switches`);
  console.log(`${next - 1} deliveries, ${proxy.ended} cuts in mid-stream, ${switches} switches, ${failures} failed attempts: 0 lost, 0 doubled, 0 out of order`);
}, "-count", String(2_000_000)));
