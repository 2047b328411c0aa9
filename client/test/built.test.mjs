import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(HERE, "dist");

test("dist is what the sources make: if not, run npm run build", (t) => {
  const fresh = mkdtempSync(join(tmpdir(), "client-"));
  t.after(() => rmSync(fresh, { recursive: true }));
  execFileSync(process.execPath, [join(HERE, "build.mjs"), fresh], { cwd: HERE });
  const files = readdirSync(fresh).sort();
  assert.deepEqual(readdirSync(DIST).sort(), files);
  for (const file of files) assert.equal(readFileSync(join(DIST, file), "utf8"), readFileSync(join(fresh, file), "utf8"), file);
});

const LIMITS = { "client.js": 5000, "share.js": 1500, "eventsource.js": 1700, "react.js": 500 }; // bytes, as README.md says

for (const [file, most] of Object.entries(LIMITS)) {
  test(`${file} has at most ${most} bytes, minified and by gzip -9`, () => {
    const size = execFileSync("gzip", ["-9nc", join(DIST, file)]).length;
    console.log(`${file}: ${size} bytes`);
    assert.ok(size <= most, `${size} bytes`);
  });
}

test("the package has what its entries name, and nothing of the tests", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: HERE, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  const files = packed.files.map((f) => f.path);
  const { exports } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
  for (const entry of Object.values(exports)) {
    for (const path of Object.values(entry)) assert.ok(files.includes(path.slice(2)), path);
  }
  assert.ok(files.includes("README.md"));
  assert.ok(!files.some((f) => /test|src|node_modules/.test(f)), files.join());
});

test("events are typed, and a wrong use does not compile", () => {
  const tsc = join(HERE, "node_modules/.bin/tsc");
  const args = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--module", "node16", "--moduleResolution", "node16", "--types", "react", join(HERE, "test/types.ts")];
  execFileSync(tsc, args, { cwd: HERE, encoding: "utf8" });
});
