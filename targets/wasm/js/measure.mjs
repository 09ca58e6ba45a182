// How long things take, in nanoseconds.

const now = () => Number(process.hrtime.bigint());

/** Calls `body` until it has taken `budget` in all; the first calls, which the engine compiles in, apart. */
export function measure(body, { warm = 3e8, budget = 1e9 } = {}) {
  repeat(body, warm);
  const times = repeat(body, budget).sort((a, b) => a - b);
  return { min: times[0], median: times[times.length >> 1], runs: times.length };
}

// The processor's time, which is counted in microseconds.
const used = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

/**
 * The time that `body` takes and what it gives. One of a millisecond and more counts with the processor's
 * time where that is less: others may have had the processor meanwhile.
 */
function timed(body) {
  const [usedBefore, before] = [used(), now()];
  const result = body();
  const time = now() - before;
  return [time < 1e6 ? time : Math.min(time, used() - usedBefore), result];
}

/**
 * The times of calls that take `budget` in all, at least one; each after `prepare`, which is not
 * timed.
 */
export function repeat(body, budget, prepare = () => {}) {
  const times = [];
  const end = now() + budget;
  while (now() < end || times.length < 1) {
    prepare();
    times.push(timed(body)[0]);
  }
  return times;
}

/** The least time of each operator of a model over a second's runs, at least one; each after `prepare`. */
export function perLayer(model, prepare) {
  const least = model.info.operators.map(() => Infinity);
  const run = () => {
    let more = true;
    for (let op = 0; more; op += 1) {
      const [time, goesOn] = timed(() => model.step());
      least[op] = Math.min(least[op], time);
      more = goesOn;
    }
  };
  repeat(run, 1e9, prepare);
  return least.map((min, op) => ({ operator: model.info.operators[op], min }));
}
