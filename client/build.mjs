// Builds dist/. With a folder as argument it builds there, so that a test can
// compare.
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2] ?? join(here, "dist");
const PUBLIC = ["connect", "eventsource", "react", "push", "http", "types"]; // whose types a user sees

rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: { client: "src/connect.ts", share: "src/share.ts", eventsource: "src/eventsource.ts", react: "src/react.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  mangleProps: /^_[a-z]/, // what starts with _ is our own; in one build, so that the files agree
  external: ["react", "./client.js", "./share.js"],
  legalComments: "none",
  charset: "utf8",
});
execFileSync(join(here, "node_modules/.bin/tsc"), ["-p", here, "--declaration", "--emitDeclarationOnly", "--outDir", out]);
for (const file of readdirSync(out)) {
  if (file.endsWith(".d.ts") && !PUBLIC.includes(file.slice(0, -5))) rmSync(join(out, file));
}
