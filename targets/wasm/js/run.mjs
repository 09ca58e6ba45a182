// Runs a model in node:
//
//   node targets/wasm/js/run.mjs MODEL.systole [X.npz] [--module systole.wasm] [--bench] [--per-layer]
//
// Without an input all elements are zero points. Prints each sample's class, or its outputs.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { measure, perLayer } from "./measure.mjs";
import { npz, sample } from "./npz.mjs";
import { Systole } from "./systole.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    module: { type: "string", default: "target/wasm/simd128.wasm" },
    bench: { type: "boolean", default: false },
    "per-layer": { type: "boolean", default: false },
  },
});
const [file, input] = positionals;
if (file === undefined) {
  console.error("usage: run.mjs MODEL.systole [X.npz] [--module systole.wasm] [--bench] [--per-layer]");
  process.exit(2);
}

const systole = await Systole.load(readFileSync(values.module));
const model = systole.model(readFileSync(file));
const { isa, arena, inputs, outputs, labels } = model.info;
console.log(`kernels ${isa}, arena ${arena} bytes`);

const samples = input === undefined ? [inputs.map(zeros)] : [...read(input)];
for (const [index, arrays] of samples.entries()) {
  arrays.forEach((data, i) => model.set(i, data));
  model.invoke();
  outputs.forEach((output, i) => console.log(`sample ${index}: ${line(output, i)}`));
}
if (values.bench) {
  const { min, median, runs } = measure(() => model.invoke());
  console.log(`min ${us(min)}, median ${us(median)} of ${runs} runs`);
}
if (values["per-layer"]) {
  for (const { operator, min } of perLayer(model)) console.log(`${us(min).padStart(12)}  ${operator}`);
}

/** Every sample's array per input. */
function* read(path) {
  const arrays = npz(readFileSync(path));
  const columns = inputs.map(({ name }, i) => arrays[name] ?? Object.values(arrays)[i]);
  for (let index = 0; index < columns[0].shape[0]; index += 1) {
    yield columns.map((column) => sample(column, index));
  }
}

function zeros({ length, zeroPoint, dtype }) {
  return dtype === "uint8" ? new Uint8Array(length).fill(zeroPoint) : new Float32Array(length);
}

/** The most likely class, where the file has labels, else the first elements. */
function line({ name, length }, i) {
  const values = Array.from(model.get(i), Number);
  if (labels.length !== length) {
    return `${name} ${values.slice(0, 16).join(" ")}${length > 16 ? " …" : ""}`;
  }
  const best = values.indexOf(Math.max(...values));
  return `${labels[best]} (${model.getReal(i)[best].toFixed(3)})`;
}

function us(ns) {
  return `${(ns / 1000).toFixed(1)} µs`;
}
