/**
 * `npm run sim -- --seeds 2000 [--from 1]` runs many seeds and prints the first that breaks an invariant;
 * `npm run sim -- --seed 17 --trace` replays one, event by event.
 */
import { parseArgs } from 'node:util';
import { Simulation } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const startedMs = performance.now();
let steps = 0;
let committed = 0;
let elections = 0;
let rests = 0;
let failures = 0;
let runs = 0;
for (let seed = first; seed < first + count; seed++) {
  runs++;
  try {
    const report = new Simulation(seed, values.trace ? (line) => console.log(line) : undefined).run();
    steps += report.steps;
    committed += report.committed;
    elections += report.elections;
    rests += report.rests;
  } catch (error) {
    failures++;
    console.log(`seed ${seed} FAILED  ${error instanceof Error ? error.message : String(error)}`);
    if (values.seed !== undefined && error instanceof Error) console.log(error.stack);
    console.log(`  replay: npm run sim -- --seed ${seed} --trace`);
    if (!values['keep-going']) break;
  }
}
const seconds = (performance.now() - startedMs) / 1000;
console.log(
  `${runs} seeds in ${seconds.toFixed(1)} s (${(runs / seconds).toFixed(1)} seeds/s): ` +
    `${steps} steps, ${committed} entries committed, ${elections} terms, ${rests} rests, ${failures} failures`,
);
process.exitCode = failures === 0 ? 0 : 1;
