// Measures models with two modules in turns, and writes the table of docs/benchmarks/wasm.md:
//
//   node targets/wasm/js/bench.mjs SCALAR.wasm SIMD128.wasm OUT.md -- MODEL.systole…

import { readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";

import { perLayer, repeat } from "./measure.mjs";
import { Systole } from "./systole.mjs";

const ROUNDS = 10;
const WARM = 2e9;
const TURN = 2e8;

const [modules, out] = [process.argv.slice(2, 4), process.argv[4]];
const files = process.argv.slice(process.argv.indexOf("--") + 1);
const systoles = [];
for (const path of modules) systoles.push(await Systole.load(readFileSync(path)));

const rows = files.map((file) => {
  const models = systoles.map((systole) => systole.model(readFileSync(file)));
  const inputs = models[0].info.inputs.map(input);
  // Each time, because what follows takes the memory of inputs over.
  const set = (model) => inputs.forEach((data, index) => model.set(index, data));
  const [output, ...others] = models.map((model) => {
    set(model);
    model.invoke();
    return model.get(0);
  });
  if (others.some((other) => other.some((x, j) => x !== output[j]))) {
    throw new Error(`${file}: the modules' outputs differ`);
  }
  const turn = (model, budget) => repeat(() => model.invoke(), budget, () => set(model));
  models.forEach((model) => turn(model, WARM));
  const least = models.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round += 1) {
    models.forEach((model, i) => {
      least[i] = Math.min(least[i], ...turn(model, TURN));
    });
  }
  const layers = models.map((model) => perLayer(model, () => set(model)));
  const { macs } = models[0].info;
  models.forEach((model) => model.free());
  const name = basename(file, ".systole");
  console.log(`${name}: ${least.map(us).join(" and ")} µs, ratio ${(least[0] / least[1]).toFixed(2)}`);
  return { name, macs, least, layers };
});
writeFileSync(out, page());

/** Other elements than zeros, the same each time: bytes, or floats from −1 to 1. */
function input({ dtype, length }) {
  const type = { uint8: Uint8Array, int8: Int8Array, float32: Float32Array }[dtype];
  let seed = 12345;
  const byte = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 24;
  return new type(length).map(dtype === "float32" ? () => byte() / 128 - 1 : byte);
}

function page() {
  const sizes = modules.map((path) => {
    const [bytes, packed] = [statSync(path).size, gzipSync(readFileSync(path)).length];
    return `${Math.round(bytes / 1000)} KB (${Math.round(packed / 1000)} KB by gzip)`;
  });
  const models = rows.map(({ name, macs, least: [scalar, simd] }) => {
    const rate = (macs / simd).toFixed(1);
    return `| ${name} | ${us(scalar)} | ${us(simd)} | ${(scalar / simd).toFixed(1)} | ${rate} |`;
  });
  return `# WebAssembly

Written by \`targets/wasm/run bench\`: the scalar module and the one with vectors of 128 bits in turns, in one process, one
thread; the least of ${ROUNDS} turns of ${TURN / 1e6} ms each, after ${WARM / 1e6} ms for the engine to compile. An inference is
one call of \`systole_run\`; one of a millisecond and more counts with the processor's time where that is less than what
passed, as on a busy machine. Outputs of the two were the same.

- node ${process.version}, V8 ${process.versions.v8}
- ${cpus()[0].model.trim()}, ${process.arch}
- modules: scalar ${sizes[0]}, simd128 ${sizes[1]}

| model | scalar µs | simd128 µs | ratio | GMAC/s |
| --- | --- | --- | --- | --- |
${models.join("\n")}

## By operator

Sums over the operators of a kind of their least times, µs; a clock is read between any two operators.

${rows.map(operators).join("\n\n")}
`;
}

/** A model's operators by kind. */
function operators({ name, layers: [scalar, simd] }) {
  const kinds = new Map();
  scalar.forEach(({ operator, min }, op) => {
    const kind = kinds.get(operator) ?? { count: 0, scalar: 0, simd: 0 };
    kinds.set(operator, {
      count: kind.count + 1,
      scalar: kind.scalar + min,
      simd: kind.simd + simd[op].min,
    });
  });
  const lines = [...kinds].map(([operator, { count, scalar, simd }]) => {
    return `| ${count} × ${operator} | ${us(scalar)} | ${us(simd)} | ${(scalar / simd).toFixed(1)} |`;
  });
  return `| ${name} | scalar | simd128 | ratio |\n| --- | --- | --- | --- |\n${lines.join("\n")}`;
}

function us(ns) {
  return (ns / 1000).toFixed(1);
}
