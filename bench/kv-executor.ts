/**
 * How many simple operations a second one group's executor evaluates, encodes and applies, with no network and no disk: the
 * real store over a database in memory, and a Raft that commits at the end of each turn. What a cluster does is bounded by this.
 *
 *   node bench/kv-executor.ts [--turn 64] [--seconds 2]
 */
import { parseArgs } from 'node:util';
import { NEVER } from '../src/platform/index.ts';
import { SimulatedLevels } from '../src/store/level/simulated-level.ts';
import { type Bed, openBed } from './executor-bed.ts';

const { values } = parseArgs({
  options: { turn: { type: 'string', default: '64' }, seconds: { type: 'string', default: '2' } },
});
const turnSize = Number(values.turn);
const seconds = Number(values.seconds);

type Submit = (bed: Bed, at: number, done: () => void) => void;
const KEYS = Array.from({ length: 10_000 }, (_, at) => Buffer.from(`key:${String(at).padStart(12, '0')}`));
const VALUE = Buffer.alloc(100, 'x');

const workloads: Record<string, Submit> = {
  SET: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({ evaluate: (view) => view.put(key, VALUE, NEVER), complete });
  },
  GET: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({ evaluate: (view) => view.get(key)?.value, complete });
  },
  INCR: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({
      evaluate: (view) => {
        const next = Number(view.get(key)?.value.toString('latin1') ?? '0') + 1;
        view.put(key, Buffer.from(String(next), 'latin1'), NEVER);
        return next;
      },
      complete,
    });
  },
  'INCR, one key': (bed, _at, complete) => workloads.INCR!(bed, 0, complete),
};

console.log(`${turnSize} operations a turn`);
for (const [name, submit] of Object.entries(workloads)) {
  const levels = new SimulatedLevels();
  const bed = await openBed({ location: 'bench', openLevel: levels.openLevel, folders: levels });
  let operations = 0;
  let completed = 0;
  const done = (): void => {
    completed++;
  };
  const untilMs = performance.now() + seconds * 1000;
  const startMs = performance.now();
  while (performance.now() < untilMs) {
    for (let at = 0; at < turnSize; at++) submit(bed, operations++, done);
    bed.turn();
    const pressure = bed.store.pressure();
    if (pressure !== undefined) await pressure;
  }
  const elapsed = (performance.now() - startMs) / 1000;
  if (completed !== operations) throw new Error(`${operations} submitted, ${completed} completed`);
  const rate = Math.round(operations / elapsed / 1000);
  await bed.store.close();
  console.log(`${name.padEnd(14)} ${String(rate).padStart(6)} k operations/s`);
}
