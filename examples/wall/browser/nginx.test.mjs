// nginx before the server, as Debian configures it: it buffers, and passes no
// upgrades on.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inEngines } from "./engine.mjs";
import { until } from "../../../client/test/stage.mjs";
import { freePort } from "./wall.mjs";

async function nginx(target) {
  const dir = mkdtempSync(join(tmpdir(), "nginx-"));
  const port = await freePort();
  const conf = join(dir, "nginx.conf");
  writeFileSync(conf, `
    daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
    events {}
    http {
      access_log off;
      client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${target}; proxy_set_header Host $http_host; } }
    }`);
  const child = spawn("/usr/sbin/nginx", ["-p", dir, "-c", conf], { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  for (let up = false; !up; ) {
    assert.equal(child.exitCode, null, "nginx has ended");
    up = await fetch(`${url}/blank`).then((r) => r.ok, () => new Promise((go) => setTimeout(go, 20)));
  }
  const stop = async () => {
    const gone = once(child, "exit");
    child.kill();
    await gone;
    rmSync(dir, { recursive: true });
  };
  return { url, stop };
}

inEngines("behind nginx with its defaults: over SSE within 2 s, and not buffered", async ({ name, server, open }) => {
  const front = await nginx(server.port);
  try {
    const page = await open("/blank", front.url);
    await page.evaluate(async () => {
      const { connect } = await import("/push/client.js");
      window.begun = performance.now();
      window.got = [];
      window.push = connect("/push", { topics: ["t/a"] });
      push.on("n", (n) => got.push(n));
      await new Promise((go) => (push.onopen = go));
      window.took = performance.now() - begun;
    });
    const { transport, took } = await page.evaluate(async () => ({ transport: push.transport, took }));
    assert.equal(transport, "sse");
    assert.ok(took <= 2000, `${took} ms`);
    console.log(`${name}: behind nginx: live over ${transport} after ${Math.round(took)} ms`);
    for (let n = 1; n <= 5; n++) { // each by itself: a buffer would keep them
      await server.burst("t/a", n, 1);
      await until(`event ${n}`, async () => (await page.evaluate(async () => got.length)) === n, 2000);
    }
    assert.equal(typeof (await page.evaluate(async () => (await push.publish("t/a", "n", 6)).id)), "string");
    await until("its own", async () => (await page.evaluate(async () => got.length)) === 6);
  } finally {
    await front.stop();
  }
});
