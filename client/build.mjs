// Builds dist/. With a folder as argument it builds there, so that a test can
// compare.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));

const out = process.argv[2] ?? here + "dist";

await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/connect.ts", out: "client" },
    { in: "src/share.ts", out: "share" },
    { in: "src/eventsource.ts", out: "eventsource" },
    { in: "src/react.ts", out: "react" },
  ].filter((e) => process.env.ONLY ? e.out === process.env.ONLY : true),
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  mangleProps: /^_[a-z]/,
  external: ["react", "./client.js", "./share.js"],
  legalComments: "none",
  charset: "utf8",
});
if (!process.env.ONLY) execFileSync(here + "node_modules/.bin/tsc", ["-p", here, "--declaration", "--emitDeclarationOnly", "--outDir", out]);
