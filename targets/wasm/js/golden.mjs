// Holds modules against golden outputs and against each other:
//
//   node targets/wasm/js/golden.mjs MODULE.wasm… -- FILE.systole INPUTS.npz OUTPUTS.npz …
//
// Integers are equal to the golden ones; floats, which other runtimes add in another order, are near
// them. All modules give the same bits.

import { readFileSync } from "node:fs";

import { npz, sample } from "./npz.mjs";
import { Systole } from "./systole.mjs";

/** How far floats may be from the golden ones, of the largest golden output. */
const TOLERANCE = 1e-5;

const separator = process.argv.indexOf("--");
const modules = process.argv.slice(2, separator);
const files = process.argv.slice(separator + 1);
const systoles = [];
for (const path of modules) systoles.push(await Systole.load(readFileSync(path)));

let wrong = 0;
for (let i = 0; i < files.length; i += 3) {
  const [file, inputs, outputs] = files.slice(i, i + 3).map((path) => readFileSync(path));
  const goldens = npz(outputs);
  const results = systoles.map((systole) => [...run(systole, file, npz(inputs), goldens)]);
  results.forEach((samples, module) => {
    const far = samples.filter((outputs) => !outputs.every(near)).length;
    const most = Math.max(...samples.flat().map(({ distance }) => distance));
    const how = most === 0 ? "equal" : `within ${most.toExponential(1)}`;
    const verdict = far === 0 ? `samples are ${how}` : `samples, of which ${far} DIFFER`;
    console.log(`${modules[module]}: ${files[i]}: ${samples.length} ${verdict}`);
    wrong += far;
  });
  const bytes = results.map((samples) => samples.flat().map(({ output }) => bits(output)));
  const [first, ...others] = bytes;
  const differ = others.filter((other) => other.some((output, j) => !output.equals(first[j]))).length;
  if (differ > 0) console.log(`${files[i]}: modules DIFFER`);
  wrong += differ;
}
process.exit(wrong === 0 ? 0 : 1);

/** Of every golden sample each output, and how far it is from the golden one. */
function* run(systole, file, inputs, goldens) {
  // Golden outputs may be those of the first samples alone.
  const [{ shape: [count] }] = Object.values(goldens);
  for (let index = 0; index < count; index += 1) {
    // Samples start from fresh state.
    const model = systole.model(file);
    model.info.inputs.forEach(({ name }, i) => {
      model.set(i, sample(inputs[name] ?? Object.values(inputs)[i], index));
    });
    model.invoke();
    yield model.info.outputs.map(({ name, dtype }, i) => {
      const golden = sample(goldens[name] ?? Object.values(goldens)[i], index);
      const output = model.get(i);
      return { dtype, output, distance: distance(output, golden) };
    });
    model.free();
  }
}

/** The largest difference, as a part of the largest golden element. */
function distance(output, golden) {
  if (output.length !== golden.length) return Infinity;
  const most = golden.reduce((most, x) => Math.max(most, Math.abs(Number(x))), 0);
  const differences = Array.from(output, (x, j) => Math.abs(Number(x) - Number(golden[j])));
  const difference = differences.reduce((most, x) => Math.max(most, x), 0);
  return difference === 0 ? 0 : difference / Math.max(most, Number.MIN_VALUE);
}

function near({ dtype, distance }) {
  return distance <= (dtype.startsWith("float") ? TOLERANCE : 0);
}

function bits({ buffer, byteOffset, byteLength }) {
  return Buffer.from(buffer, byteOffset, byteLength);
}
