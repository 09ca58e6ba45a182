// How long things take, in nanoseconds.

const now = () => Number(process.hrtime.bigint());

/** Calls `body` until it has taken `budget` in all; the first calls, which the engine compiles in, apart. */
export function measure(body, { warm = 3e8, budget = 1e9 } = {}) {
  repeat(body, warm);
  const times = repeat(body, budget).sort((a, b) => a - b);
  return { min: times[0], median: times[times.length >> 1], runs: times.length };
}

/** The times of calls that take `budget` in all, at least three. */
export function repeat(body, budget) {
  const times = [];
  const end = now() + budget;
  for (let before = now(); before < end || times.length < 3; ) {
    body();
    const after = now();
    times.push(after - before);
    before = after;
  }
  return times;
}

/** The least time of each operator of a model, over `runs` runs. */
export function perLayer(model, runs = 300) {
  const least = model.info.operators.map(() => Infinity);
  for (let run = 0; run < runs; run += 1) {
    let more = true;
    for (let op = 0; more; op += 1) {
      const before = now();
      more = model.step();
      least[op] = Math.min(least[op], now() - before);
    }
  }
  return least.map((min, op) => ({ operator: model.info.operators[op], min }));
}
