// Reads .npz and .npy, NumPy's files of arrays: what models are fed from outside of a browser.

import { inflateRawSync } from "node:zlib";

const TYPES = {
  "|i1": Int8Array,
  "|u1": Uint8Array,
  "|b1": Uint8Array,
  "<i2": Int16Array,
  "<u2": Uint16Array,
  "<f2": Uint16Array,
  "<i4": Int32Array,
  "<u4": Uint32Array,
  "<i8": BigInt64Array,
  "<f4": Float32Array,
  "<f8": Float64Array,
};

/** The arrays of a .npz file by name: `{ shape, data }`, row-major. */
export function npz(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The directory is at the end, and the end of it says where.
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("this is no .npz file");
  const arrays = {};
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count -= 1) {
    const method = view.getUint16(at + 10, true);
    const packed = view.getUint32(at + 20, true);
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const entry = view.getUint32(at + 42, true);
    const start = entry + 30 + view.getUint16(entry + 26, true) + view.getUint16(entry + 28, true);
    const stored = bytes.subarray(start, start + packed);
    const file = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name));
    arrays[file.replace(/\.npy$/, "")] = npy(method === 8 ? inflateRawSync(stored) : stored);
    at += 46 + name + extra + comment;
  }
  return arrays;
}

/** The array of a .npy file. */
export function npy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, length] =
    bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const type = TYPES[/'descr': '([^']*)'/.exec(header)?.[1]];
  if (type === undefined || /'fortran_order': True/.test(header)) {
    throw new Error(`arrays of this kind are not read: ${header}`);
  }
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1];
  const dims = shape.split(",").map((dim) => dim.trim()).filter(Boolean).map(Number);
  // Copied, because elements have to be aligned.
  const data = bytes.slice(start + length);
  const count = dims.reduce((product, dim) => product * dim, 1);
  return { shape: dims, data: new type(data.buffer, data.byteOffset, count) };
}

/** The elements of sample `index` along the first axis. */
export function sample({ shape, data }, index) {
  const length = data.length / shape[0];
  return data.subarray(index * length, (index + 1) * length);
}
