/** `npm run sim:group-paths`: prints what commands over several groups wait for, in virtual time. */
import {
  GroupPaths,
  msetsOfMany,
  type PathFigures,
  QUEUE_SCRIPT,
  quantile,
  scriptsASecond,
  waitsOfPlain,
} from './group-paths.ts';

const show = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([name, count]) => `${name} ${count < 100 ? count.toFixed(1) : count}`).join(', ');

const paths = new GroupPaths();
await paths.start();
for (const node of [1, 2, 3]) {
  const client = await paths.connect(node);
  const leads = [0, 1, 2].filter((group) => paths.leader(group) === node);
  const print = (what: string, figures: PathFigures): void => {
    const { medianMs, frames, entries, writes, requests } = figures;
    const counted = `frames ${frames.toFixed(1)}, entries ${entries.toFixed(1)}, disk writes ${writes.toFixed(1)}`;
    console.log(
      `node ${node} (leads ${leads}) ${what.padEnd(18)} ${medianMs.toFixed(2)} ms, ${counted}; ${show(requests)}`,
    );
  };
  print('MSET, one group', await paths.measure(client, paths.pairs(0, 0)));
  print('MSET, two groups', await paths.measure(client, paths.pairs(0, 1)));
  const keys = [paths.name(0, 2), paths.name(1, 2), paths.name(2, 2)];
  print('EVAL, three groups', await paths.measure(client, () => ['eval', QUEUE_SCRIPT, '3', ...keys, 'x']));
}
for (const [nodes, underWay] of [
  [[1], 1],
  [[1], 10],
  [[2, 3], 10],
  [[1, 2, 3], 10],
] as const) {
  const { rate, failures } = await scriptsASecond(paths, nodes, underWay, 300);
  console.log(`scripts of a queue, nodes ${nodes}, ${underWay} under way: ${rate.toFixed(0)}/s; ${show(failures)}`);
}
for (const groups of [
  [0, 0],
  [0, 1],
] as const) {
  const { medianMs, entries, frames, processorUs } = await msetsOfMany(paths, groups, {
    clients: 50,
    countedMs: 3_000,
  });
  console.log(
    `MSET of 50 clients of all nodes, groups ${groups}: ${medianMs.toFixed(1)} ms, a command ${entries.toFixed(3)} entries, ` +
      `${frames.toFixed(2)} frames, ${processorUs.toFixed(0)} us of the processor`,
  );
}
const { quiet, busy, rate, lost, failures } = await waitsOfPlain(paths, 12, 300);
const of = (took: readonly number[]) => `${quantile(took, 0.5).toFixed(1)} ms, p99 ${quantile(took, 0.99).toFixed(1)}`;
console.log(
  `APPEND in quiet ${of(quiet)}; beside 12 MSETs ${of(busy)}; ${show(failures)}; MSET ${rate.toFixed(0)}/s, ${lost} lost`,
);
