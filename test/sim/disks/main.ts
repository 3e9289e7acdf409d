/** `npm run sim:disks` prints what disks of several speeds cost one client and fifty, in one group and in three, in simulated time. */
import { formatTable } from '../../../cmd/cli/table.ts';
import { measureSlowDisks } from './slow-disks.ts';

const SYNCS_MS = [0.05, 1, 5, 20];
const SHOWN = (ms: number): string => `${ms.toFixed(2)} ms`;

const rows = [
  [
    'a sync',
    '1 client, p50',
    '50 clients, p50',
    'p99',
    'commands a second',
    'of 50 in the time of one alone',
    'in 3 groups, p50',
    'p99',
    'a round',
  ],
];
for (const syncMs of SYNCS_MS) {
  const alone = await measureSlowDisks({ syncMs, clients: 1, rounds: 200, seed: 5 });
  const many = await measureSlowDisks({ syncMs, clients: 50, rounds: 200, seed: 5 });
  const shared = await measureSlowDisks({ syncMs, clients: 50, groups: 3, rounds: 200, seed: 5 });
  rows.push([
    SHOWN(syncMs),
    SHOWN(alone.p50Ms),
    SHOWN(many.p50Ms),
    SHOWN(many.p99Ms),
    Math.round(50_000 / many.roundMs).toLocaleString('en'),
    `${(alone.p50Ms / many.roundMs).toFixed(2)}x`,
    SHOWN(shared.p50Ms),
    SHOWN(shared.p99Ms),
    SHOWN(shared.roundMs),
  ]);
}
console.log(
  formatTable(
    rows,
    rows[0]!.map(() => 'right'),
  ),
);
for (const [leaderSyncMs, syncMs] of [
  [20, 5],
  [5, 20],
] as const) {
  const { p50Ms, p99Ms } = await measureSlowDisks({ syncMs, leaderSyncMs, clients: 50, rounds: 200, seed: 5 });
  console.log(
    `50 clients, syncs of ${leaderSyncMs} ms at the leader and ${syncMs} ms elsewhere: p50 ${SHOWN(p50Ms)}, p99 ${SHOWN(p99Ms)}`,
  );
}
process.exit(0);
