// What the browser's own cache does with pages of history.

import assert from "node:assert/strict";
import { scene } from "./stage.mjs";

scene("a page of history that cannot change is read from the net once", async (stage) => {
  const visitor = await stage.visit("sse", { url: stage.proxy.url });
  for (let i = 0; i < 4; i++) await stage.wall.post(`post ${i}`);
  const read = (query) => visitor.page.evaluate(async (q) => {
    const answer = await fetch(`/push/topics/wall?${q}`, { headers: { Accept: "application/json" } });
    return { control: answer.headers.get("Cache-Control"), body: await answer.text() };
  }, query);
  const newest = await read("limit=4");
  assert.equal(newest.control, "private, no-cache");
  const { items } = JSON.parse(newest.body);
  const queries = [`after=${items[0].id}&limit=2`, `before=${items[3].id}&limit=2`, `id=${items[1].id}`];
  const once = [];
  for (const q of queries) once.push(await read(q));
  for (const { control } of once) assert.match(control, /^private, max-age=\d+, immutable$/);
  await stage.wall.post("one more");
  stage.proxy.cut(); // what is read now is read from the cache
  for (const [i, q] of queries.entries()) assert.deepEqual(await read(q), once[i], q);
  await assert.rejects(read("limit=4"), "the newest page comes from the cache");
});
