#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// compile_ksy.js COMPILER_DIR FILE.ksy OUTPUT_DIR: compile a Kaitai Struct description to Python.
// COMPILER_DIR holds the npm package kaitai-struct-compiler (./dev setup puts it under build/npm/node_modules).
"use strict";

const fs = require("fs");
const path = require("path");

/* The descriptions are written by spec/emit/ksy.py: block mappings, block sequences, plain and single-quoted scalars. */
function parseYaml(text) {
  const lines = text.split("\n").filter((line) => line.trim() && !line.trim().startsWith("#"));
  let at = 0;
  const indent = () => (at < lines.length ? lines[at].search(/\S/) : -1);

  function scalar(word) {
    if (word.startsWith("'")) return word.slice(1, -1).replace(/''/g, "'");
    return /^[0-9]+$/.test(word) ? Number(word) : word;
  }

  function sequence(depth) {
    const items = [];
    while (indent() === depth && lines[at][depth] === "-") {
      lines[at] = lines[at].slice(0, depth) + " " + lines[at].slice(depth + 1);
      items.push(mapping(indent()));
    }
    return items;
  }

  function mapping(depth) {
    const result = {};
    while (indent() === depth && lines[at][depth] !== "-") {
      const match = /^([^:]+):(?: (.*))?$/.exec(lines[at].slice(depth));
      if (!match) throw new Error(`not a mapping line: ${lines[at]}`);
      at += 1;
      if (match[2] !== undefined) result[match[1]] = scalar(match[2]);
      else result[match[1]] = lines[at][indent()] === "-" ? sequence(indent()) : mapping(indent());
    }
    return result;
  }

  const result = mapping(0);
  if (at !== lines.length) throw new Error(`indentation makes no sense: ${lines[at]}`);
  return result;
}

async function main([compilerDir, source, outputDir]) {
  const compiler = require(path.resolve(compilerDir, "kaitai-struct-compiler"));
  const description = parseYaml(fs.readFileSync(source, "utf8"));
  const files = await compiler.compile("python", description, null, false);
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(outputDir, name), content);
}

if (process.argv.length !== 5) {
  process.stderr.write("usage: compile_ksy.js COMPILER_DIR FILE.ksy OUTPUT_DIR\n");
  process.exit(2);
}
main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error && error.stack ? error.stack : error}\n`);
  process.exit(1);
});
