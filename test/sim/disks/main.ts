/**
 * `npm run sim:disks` prints what disks of several speeds cost one client and fifty, in one group and in three, and what it costs when the
 * leader's own disk is the slowest, in simulated time. Exit code 1 says that something takes longer than it has to.
 */
import { formatTable } from '../../../cmd/cli/table.ts';
import { measureSlowDisks, ROUND_TRIP_MS } from './slow-disks.ts';

const SYNCS_MS = [0.05, 1, 5, 20];
/** One client alone may wait for so much beside its sync and the network. */
const SPARE_MS = 0.5;
/** Of fifty commands for each sync and round trip there have to be so many. */
const LEAST_SHARE = 0.8;
/** How much slower the leader's disk is than the others' where it is the slowest, and what its clients may wait longer for that. */
const LEADER_FACTOR = 4;
const MOST_LEADER_COST = 1.2;

const SHOWN = (ms: number): string => `${ms.toFixed(2)} ms`;
let isMissed = false;
const judged = (what: string, isMet: boolean): string => {
  isMissed ||= !isMet;
  return `${what} ${isMet ? 'ok' : 'MISSED'}`;
};

const rows = [
  [
    'a sync',
    '1 client, p50',
    'without network and sync',
    '50 clients, p50',
    'p99',
    'commands a second',
    'of 50 a sync and round trip',
    `leader's disk ${LEADER_FACTOR}x, p50`,
    'to equal disks',
    'in 3 groups, p50',
    'p99',
    'a round',
  ],
];
for (const syncMs of SYNCS_MS) {
  const load = { syncMs, clients: 50, rounds: 200, seed: 5 };
  const alone = await measureSlowDisks({ ...load, clients: 1 });
  const many = await measureSlowDisks(load);
  const slowLeader = await measureSlowDisks({ ...load, leaderSyncMs: LEADER_FACTOR * syncMs });
  const shared = await measureSlowDisks({ ...load, groups: 3 });
  const spareMs = alone.p50Ms - syncMs - ROUND_TRIP_MS;
  const share = (syncMs + ROUND_TRIP_MS) / many.roundMs;
  const leaderCost = slowLeader.p50Ms / many.p50Ms;
  rows.push([
    SHOWN(syncMs),
    SHOWN(alone.p50Ms),
    judged(SHOWN(spareMs), spareMs <= SPARE_MS),
    SHOWN(many.p50Ms),
    SHOWN(many.p99Ms),
    Math.round(50_000 / many.roundMs).toLocaleString('en'),
    judged(`${share.toFixed(2)}x`, share >= LEAST_SHARE),
    SHOWN(slowLeader.p50Ms),
    judged(`${leaderCost.toFixed(2)}x`, leaderCost <= MOST_LEADER_COST),
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
process.exit(isMissed ? 1 : 0);
