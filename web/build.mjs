// Builds the front end into podfence/web/static: script, style, licences, and a manifest of hashes
// of what was built and of what it was built from.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join, relative } from "node:path";
import { build } from "esbuild";

const web = fileURLToPath(new URL(".", import.meta.url));
const target = process.argv[2] ?? join(web, "../podfence/web/static");
mkdirSync(target, { recursive: true });

const result = await build({
  absWorkingDir: web,
  entryPoints: { report: "src/main.tsx", serve: "src/serve.tsx", editor: "src/editor.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome109", "firefox115", "safari16.4"],
  charset: "ascii",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
  write: false,
  outdir: target,
});
const style = await build({
  absWorkingDir: web,
  entryPoints: { report: "src/report.css", serve: "src/serve.css" },
  bundle: true,
  minify: true,
  charset: "utf8",
  target: ["chrome109", "firefox115", "safari16.4"],
  write: false,
  outdir: target,
});

const built = new Map();
for (const file of [...result.outputFiles, ...style.outputFiles]) {
  built.set(relative(target, file.path), Buffer.from(file.contents));
}
built.set("LICENSES.txt", Buffer.from(licences(result.metafile)));

const digest = (content) => createHash("sha256").update(content).digest("hex");
const sources = ["package.json", "package-lock.json", "build.mjs", "tsconfig.json", ...walk("src")];
const manifest = {
  built: Object.fromEntries([...built].map(([name, content]) => [name, digest(content)])),
  from: Object.fromEntries(sources.sort().map((name) => [name, digest(readFileSync(join(web, name)))])),
};
built.set("MANIFEST.json", Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`));
for (const [name, content] of built) writeFileSync(join(target, name), content);

function walk(folder) {
  return readdirSync(join(web, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    return entry.isDirectory() ? walk(name) : [name];
  });
}

/** Name, version and licence text of every package that is in the bundle. */
function licences(metafile) {
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) names.add(found[1]);
  }
  const parts = [...names].sort().map((name) => {
    const folder = join(web, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    if (!file) throw new Error(`${name} has no licence file`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return parts.join(`\n${"-".repeat(78)}\n\n`);
}
