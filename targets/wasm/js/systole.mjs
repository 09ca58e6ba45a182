// Systole in JavaScript: models in a module of WebAssembly. For browsers, node and others; no
// dependencies.
//
//   const systole = await Systole.load(bytes);          // of systole.wasm
//   const model = systole.model(file);                  // of a .systole file
//   const [scores] = model.run([features]);             // Float32Array: quantized, and back

const ARRAYS = {
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** A module. */
export class Systole {
  #exports;

  constructor(instance) {
    this.#exports = instance.exports;
  }

  /** From the bytes of systole.wasm, or a Response or a compiled WebAssembly.Module. */
  static async load(source) {
    if (source instanceof WebAssembly.Module) {
      return new Systole(await WebAssembly.instantiate(source, {}));
    }
    const bytes = typeof Response !== "undefined" && source instanceof Response
      ? await source.arrayBuffer()
      : source;
    return new Systole((await WebAssembly.instantiate(bytes, {})).instance);
  }

  /** The model of a `.systole` file's bytes; throws where they are none. */
  model(file) {
    return new Model(this.#exports, file);
  }
}

/** A model that is ready to run. */
export class Model {
  #exports;
  #handle;
  #buffers = [];

  /** What it is: `isa`, `arena`, `macs`, `inputs`, `outputs`, `operators`, `labels`. */
  info;

  constructor(exports, file) {
    this.#exports = exports;
    const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
    const buffer = exports.systole_alloc(bytes.length);
    this.#memory(buffer, Uint8Array, bytes.length).set(bytes);
    this.#handle = exports.systole_load(buffer);
    exports.systole_free(buffer);
    if (this.#handle === 0) throw new Error(this.#text());
    exports.systole_describe(this.#handle);
    this.info = JSON.parse(this.#text());
    // Room for the elements, and for real numbers in their place.
    for (const tensor of [...this.info.inputs, ...this.info.outputs]) {
      tensor.length = tensor.shape.reduce((product, size) => product * size, 1);
      this.#buffers.push(exports.systole_alloc(Math.max(tensor.bytes, tensor.length * 4)));
    }
  }

  /**
   * Runs the model on an array per input. A Float32Array for an integer input is quantized; outputs are
   * then real numbers, too. Else arrays hold the elements as they are, and so do outputs.
   */
  run(inputs) {
    inputs.forEach((data, index) => this.set(index, data));
    this.invoke();
    const real = inputs.some((data, index) => this.#isReal(index, data));
    return this.info.outputs.map((_, index) => (real ? this.getReal(index) : this.get(index)));
  }

  /** Sets an input. */
  set(index, data) {
    const { systole_set, systole_set_real } = this.#exports;
    const tensor = this.info.inputs[index];
    if (tensor === undefined) throw new Error(`there are ${this.info.inputs.length} inputs`);
    if (data.length !== tensor.length) {
      throw new Error(`input ${index} has ${tensor.length} elements, not ${data.length}`);
    }
    const buffer = this.#buffers[index];
    this.#memory(buffer, data.constructor, data.length).set(data);
    const address = this.#exports.systole_bytes(buffer);
    this.#check(
      this.#isReal(index, data)
        ? systole_set_real(this.#handle, index, address, data.length)
        : systole_set(this.#handle, index, address, data.byteLength),
    );
  }

  /** Runs the model on the inputs that have been set. */
  invoke() {
    this.#check(this.#exports.systole_run(this.#handle));
  }

  /** Runs the next operator; whether there are more. */
  step() {
    const more = this.#exports.systole_step(this.#handle);
    if (more < 0) throw new Error(this.#text());
    return more === 1;
  }

  /** An output's elements. */
  get(index) {
    const { dtype, bytes, length } = this.info.outputs[index];
    const buffer = this.#buffers[this.info.inputs.length + index];
    const address = this.#exports.systole_bytes(buffer);
    this.#check(this.#exports.systole_get(this.#handle, index, address, bytes));
    return this.#memory(buffer, ARRAYS[dtype], length).slice();
  }

  /** An output as real numbers. */
  getReal(index) {
    const { length } = this.info.outputs[index];
    const buffer = this.#buffers[this.info.inputs.length + index];
    const address = this.#exports.systole_bytes(buffer);
    this.#check(this.#exports.systole_get_real(this.#handle, index, address, length));
    return this.#memory(buffer, Float32Array, length).slice();
  }

  /** Frees the module's memory. */
  free() {
    this.#exports.systole_unload(this.#handle);
    this.#buffers.forEach((buffer) => this.#exports.systole_free(buffer));
    this.#handle = 0;
  }

  #isReal(index, data) {
    return data instanceof Float32Array && this.info.inputs[index].dtype !== "float32";
  }

  /** A view of a buffer; it may be gone when the module's memory has grown. */
  #memory(buffer, type, length) {
    const address = this.#exports.systole_bytes(buffer);
    return new type(this.#exports.memory.buffer, address, length);
  }

  #check(status) {
    if (status !== 0) throw new Error(this.#text());
  }

  #text() {
    const { memory, systole_text, systole_text_bytes } = this.#exports;
    return new TextDecoder().decode(new Uint8Array(memory.buffer, systole_text(), systole_text_bytes()));
  }
}
