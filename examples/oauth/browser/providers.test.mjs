// Tokens of real providers: oidc-provider, which does it right, and
// oauth2-mock-server, which does not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { OAuth2Server } from "oauth2-mock-server";
import { App } from "./app.mjs";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const unpack = (token) => token.split(".").slice(0, 2).map((s) => JSON.parse(Buffer.from(s, "base64url")));

// proof is a DPoP proof (RFC 9449 section 4.2) for a request to url.
function proof(keys, method, url, nonce) {
  const head = { typ: "dpop+jwt", alg: "ES256", jwk: keys.publicKey.export({ format: "jwk" }) };
  const text = `${part(head)}.${part({ jti: randomUUID(), htm: method, htu: url, iat: Math.floor(Date.now() / 1000), nonce })}`;
  return `${text}.${sign("sha256", Buffer.from(text), { key: keys.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

describe("oidc-provider", () => {
  let app;
  before(async () => (app = await App.start()));
  after(async () => assert.equal(await app.stop(), ""));

  test("the API says where tokens come from", async () => {
    const refused = await fetch(`${app.url}/push/topics/chat/room`, { headers: { Accept: "application/json" } });
    assert.equal(refused.status, 401);
    const [, url] = refused.headers.get("WWW-Authenticate").match(/^Bearer resource_metadata="(.*)"$/);
    const metadata = await (await fetch(url)).json();
    assert.deepEqual([metadata.resource, metadata.authorization_servers], [`${app.url}/push`, [app.issuer]]);
  });

  for (const alg of ["ES256", "RS256"]) {
    test(`a real at+jwt, signed with ${alg}`, async () => {
      const token = await app.token("chat.read chat.write", { format: alg });
      const [head] = unpack(token);
      assert.deepEqual([head.typ, head.alg], ["at+jwt", alg]);
      assert.equal((await app.say(token, "hello")).status, 201);
      assert.equal((await app.get(token)).status, 200);
      assert.equal((await app.get(token, "secret")).status, 403);
    });
  }

  test("scopes are what they grant", async () => {
    const reader = await app.token("chat.read");
    assert.equal((await app.get(reader)).status, 200);
    const refused = await app.say(reader, "no");
    assert.equal(refused.status, 403);
    assert.match(refused.headers.get("WWW-Authenticate"), /error="insufficient_scope"/);
  });

  test("an opaque token, by introspection", async () => {
    const token = await app.token("chat.read", { format: "opaque" });
    assert.ok(!token.includes("."));
    assert.equal((await app.get(token)).status, 200);
    assert.equal((await app.say(token, "no")).status, 403);
    assert.equal((await app.get(`${token}x`)).status, 401);
  });

  test("a token that is bound to its client's key is no bearer token", async () => {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const token = await app.token("chat.read", { client: "bound", headers: { DPoP: proof(keys, "POST", `${app.issuer}/token`) } });
    const [, claims] = unpack(token);
    assert.ok(claims.cnf.jkt);
    const refused = await app.get(token);
    assert.equal(refused.status, 401);
    assert.match((await refused.json()).detail, /DPoP/);
  });

  test("the lines of the README", async () => {
    const text = await readFile(new URL("../../README.md", import.meta.url), "utf8");
    const own = (line) => line.replaceAll("http://127.0.0.1:8080", app.url);
    const sh = async (script, env = {}) => (await promisify(execFile)("sh", ["-c", script], { env: { ...process.env, ...env } })).stdout.trim();
    const setup = text.match(/^ {4}(issuer|token)=.*$/gm).map(own).join("\n");
    const token = await sh(`${setup}\necho $token`);
    const headers = { Authorization: `Bearer ${token}` };
    const stream = await fetch(`${app.url}/push/topics/chat/room`, { headers: { ...headers, Accept: "text/event-stream" } });
    let mine;
    for await (const line of createInterface({ input: Readable.fromWeb(stream.body) })) {
      if ((mine = line.match(/"connection":"([^"]+)"/)?.[1])) break;
    }
    const { ticket } = await (await fetch(`${app.url}/push/tickets`, { method: "POST", headers, body: '{"topics":["chat/room"]}' })).json();
    const lines = text.split("## Signed in")[1].split("\n## ")[0].matchAll(/^ {4}(curl .*\S) +# (\d{3})$/gm);
    let n = 0;
    for (const [, line, status] of lines) {
      const time = line.includes(" -N ") ? 1 : 10; // a stream has begun by then
      const command = own(line).replace("curl ", `curl -s -o /dev/null -w '%{http_code}' --max-time ${time} `);
      assert.equal(await sh(`${command} || true`, { token, ticket, mine }), status, line);
      n++;
    }
    assert.equal(n, 8);
  });

  test("a stream ends when its token is revoked, and the token stays out", async () => {
    const token = await app.token("chat.read");
    const stream = await fetch(`${app.url}/push/topics/chat/room`, { headers: { Accept: "text/event-stream", Authorization: `Bearer ${token}` } });
    const began = Date.now();
    await app.revoke({ jti: unpack(token)[1].jti });
    const text = await stream.text(); // to its end
    assert.match(text, /event: push.close\ndata: {"code":3003/);
    assert.ok(Date.now() - began < 1000, `it took ${Date.now() - began} ms`);
    assert.equal((await app.get(token)).status, 401);
    assert.equal((await app.get(await app.token("chat.read"))).status, 200);
  });
});

describe("oauth2-mock-server", () => {
  let provider, strict, sloppy;
  before(async () => {
    provider = new OAuth2Server();
    await provider.issuer.keys.generate("RS256");
    await provider.start(0, "127.0.0.1");
    provider.issuer.url = `http://127.0.0.1:${provider.address().port}`;
    strict = await App.start({ args: ["-issuer", provider.issuer.url] });
    sloppy = await App.start({ args: ["-issuer", provider.issuer.url, "-jwt"] });
  });
  after(async () => {
    await provider.stop();
    assert.deepEqual([await strict.stop(), await sloppy.stop()], ["", ""]);
  });

  const token = (app, change = {}) => provider.issuer.buildToken({
    scopesOrTransform: (_head, claims) => Object.assign(claims, { sub: "ann", aud: `${app.url}/push`, scope: "chat.read" }, change),
  });

  test("its tokens have the type JWT, or none: taken by option only", async () => {
    assert.notEqual(unpack(await token(strict))[0].typ, "at+jwt");
    assert.equal((await strict.get(await token(strict))).status, 401);
    assert.equal((await sloppy.get(await token(sloppy))).status, 200);
  });

  test("what it leaves out, or makes of an ID token, is refused all the same", async () => {
    for (const change of [{ aud: undefined }, { exp: undefined }, { sub: undefined }, { aud: "page" }, { nonce: "n" }, { iss: "http://127.0.0.1:1" }]) {
      assert.equal((await sloppy.get(await token(sloppy, change))).status, 401, JSON.stringify(change));
    }
    assert.equal((await sloppy.get(await token(sloppy, { scope: ["chat.read"] }))).status, 200, "scopes as a list");
    assert.equal((await sloppy.get(await token(sloppy, { scope: undefined }))).status, 403, "no scopes");
  });
});
