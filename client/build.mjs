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
let mangleCache = {}; // what starts with _ is our own and gets a short name, the same in all files
for (const [file, source] of [["client", "connect"], ["share", "share"], ["eventsource", "eventsource"], ["react", "react"]]) {
  ({ mangleCache } = await build({
    absWorkingDir: here,
    entryPoints: [`src/${source}.ts`],
    outfile: join(out, file + ".js"),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    mangleProps: /^_[a-z]/,
    mangleCache,
    external: ["react", "./client.js", "./share.js"],
    legalComments: "none",
    charset: "utf8",
  }));
}
execFileSync(join(here, "node_modules/.bin/tsc"), ["-p", here, "--declaration", "--emitDeclarationOnly", "--outDir", out]);
for (const file of readdirSync(out)) {
  if (file.endsWith(".d.ts") && !PUBLIC.includes(file.slice(0, -5))) rmSync(join(out, file));
}
