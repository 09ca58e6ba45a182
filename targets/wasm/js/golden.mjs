// Holds modules against golden outputs, byte for byte:
//
//   node targets/wasm/js/golden.mjs MODULE.wasm… -- FILE.systole INPUTS.npz OUTPUTS.npz …

import { readFileSync } from "node:fs";

import { npz, sample } from "./npz.mjs";
import { Systole } from "./systole.mjs";

const separator = process.argv.indexOf("--");
const modules = process.argv.slice(2, separator);
const files = process.argv.slice(separator + 1);
let different = 0;
for (const path of modules) {
  const systole = await Systole.load(readFileSync(path));
  for (let i = 0; i < files.length; i += 3) {
    different += check(systole, path, files.slice(i, i + 3));
  }
}
process.exit(different === 0 ? 0 : 1);

/** How many samples' outputs differ. */
function check(systole, path, [file, inputFile, outputFile]) {
  const bytes = readFileSync(file);
  const inputs = npz(readFileSync(inputFile));
  const goldens = npz(readFileSync(outputFile));
  // Golden outputs may be those of the first samples alone.
  const count = Object.values(goldens)[0].shape[0];
  let wrong = 0;
  let isa = "";
  for (let index = 0; index < count; index += 1) {
    // Samples start from fresh state.
    const model = systole.model(bytes);
    isa = model.info.isa;
    model.info.inputs.forEach(({ name }, i) => {
      model.set(i, sample(inputs[name] ?? Object.values(inputs)[i], index));
    });
    model.invoke();
    const same = model.info.outputs.every(({ name }, i) => {
      const golden = sample(goldens[name] ?? Object.values(goldens)[i], index);
      const output = model.get(i);
      return output.length === golden.length && output.every((value, j) => value === golden[j]);
    });
    wrong += same ? 0 : 1;
    model.free();
  }
  const verdict = wrong === 0 ? `${count} samples are equal` : `${wrong} of ${count} samples DIFFER`;
  console.log(`${path} (${isa}): ${file}: ${verdict}`);
  return wrong;
}
