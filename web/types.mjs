// Types of the page's data, made from docs/schemas/report.schema.json, so that a schema which
// changes without the page is an error of the compiler. Knows the keywords that the schema uses;
// any other is an error.

import { readFileSync, writeFileSync } from "node:fs";

const here = new URL(".", import.meta.url);
const schema = JSON.parse(readFileSync(new URL("../docs/schemas/report.schema.json", here), "utf8"));
const KNOWN = new Set([
  "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
  "additionalProperties", "items", "prefixItems", "minItems", "oneOf", "enum", "const",
]);

const named = (name) => name[0].toUpperCase() + name.slice(1);

function type(node) {
  if (node === true) return "unknown";
  for (const keyword of Object.keys(node)) {
    if (!KNOWN.has(keyword)) throw new Error(`types.mjs knows no ${keyword}`);
  }
  if (node.$ref) return named(node.$ref.replace("#/$defs/", ""));
  if ("const" in node) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (node.oneOf) return node.oneOf.map(type).join(" | ");
  if (Array.isArray(node.type)) return node.type.map((each) => type({ type: each })).join(" | ");
  switch (node.type) {
    case "array":
      if (node.prefixItems) return `[${node.prefixItems.map(type).join(", ")}]`;
      return `(${type(node.items)})[]`;
    case "object":
      return object(node);
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return node.type;
    default:
      throw new Error(`no type in ${JSON.stringify(node)}`);
  }
}

function object(node) {
  if (!node.properties) {
    const values = node.additionalProperties ? type(node.additionalProperties) : "unknown";
    return `Record<string, ${values}>`;
  }
  const required = new Set(node.required ?? []);
  const members = Object.entries(node.properties).map(([name, value]) => {
    const said = value.description ? `/** ${value.description} */ ` : "";
    return `${said}${name}${required.has(name) ? "" : "?"}: ${type(value)};`;
  });
  return `{\n  ${members.join("\n  ")}\n}`;
}

const definitions = Object.entries({ ...schema.$defs, report: { ...schema, $defs: undefined } });
const text = definitions.map(([name, node]) => {
  const said = node.description ? `/** ${node.description} */\n` : "";
  const { $defs: _, ...rest } = node;
  return `${said}export type ${named(name)} = ${type(rest)};\n`;
});
const head = "// Made by web/types.mjs from docs/schemas/report.schema.json; change that, not this.\n\n";
writeFileSync(new URL("src/schema.ts", here), head + text.join("\n"));
