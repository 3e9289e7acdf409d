/** All the ways in which a cluster is broken on purpose, by name. */
import type { Nemesis } from '../types.ts';
import { archive } from './archives.ts';
import { backup } from './backups.ts';
import { clockFar, clockJump, clockSkew } from './clock.ts';
import { diskFull, diskSyncError } from './disk.ts';
import { drain } from './drains.ts';
import { membershipChurn, membershipEmptyVoter } from './membership.ts';
import { lossyNetwork, slowNetwork } from './network.ts';
import { bridge, deafLeader, halves, isolateLeader, muteLeader, oneWay, randomPartition } from './partitions.ts';
import { killAll, killLeader, killRandom, pauseLeader, pauseRandom, restartPlanned } from './processes.ts';
import { routeShuffle, tableMoves, tableShuffle, tableSplits } from './routes.ts';
import { transferLateLeader, transferLeader } from './transfers.ts';
import { upgrade } from './upgrades.ts';

/** Single faults. */
export const nemeses: readonly Nemesis[] = [
  killRandom,
  killLeader,
  killAll,
  restartPlanned,
  pauseRandom,
  pauseLeader,
  halves,
  isolateLeader,
  bridge,
  oneWay,
  muteLeader,
  deafLeader,
  randomPartition,
  slowNetwork,
  lossyNetwork,
  clockSkew,
  clockJump,
  clockFar,
  diskFull,
  diskSyncError,
  transferLeader,
  transferLateLeader,
  routeShuffle,
  tableShuffle,
  tableMoves,
  tableSplits,
  drain,
  upgrade,
  // Behind what keeps a majority away: they restore in calm what they have made.
  backup,
  archive,
  // Last, so that it is healed when everything else is: it repairs what needs a majority.
  membershipEmptyVoter,
  membershipChurn,
];

/** Faults that any cluster can meet beside others; ranges move only where there are several groups, and few workloads are served by a release. */
const EVERYWHERE: readonly string[] = nemeses
  .filter(
    (nemesis) =>
      ![routeShuffle, tableShuffle, tableMoves, tableSplits, membershipEmptyVoter, upgrade].includes(nemesis),
  )
  .map(({ name }) => name);

/** Short names for families of faults, as `--nemesis` takes them. */
export const nemesisFamilies: Readonly<Record<string, readonly string[]>> = {
  kill: ['kill-random', 'kill-leader', 'kill-all'],
  planned: ['restart-planned', 'drain'],
  backups: ['backup', 'archive'],
  releases: ['upgrade'],
  pause: ['pause-random', 'pause-leader'],
  partition: [
    'partition-halves',
    'partition-leader',
    'partition-bridge',
    'partition-one-way',
    'partition-leader-mute',
    'partition-leader-deaf',
    'partition-random',
  ],
  network: ['network-slow', 'network-lossy'],
  clock: ['clock-skew', 'clock-jump', 'clock-far'],
  transfer: ['transfer-leader', 'transfer-late-leader'],
  disk: ['disk-full', 'disk-sync-error'],
  routes: ['route-shuffle'],
  tables: ['table-shuffle', 'table-moves', 'table-splits'],
  membership: ['membership-churn', 'membership-empty-voter'],
};

/**
 * The nemeses that a list of names and families stands for.
 * @throws Error naming what is not known
 */
export function resolveNemeses(names: readonly string[]): Nemesis[] {
  return names
    .flatMap((name) => (name === 'all' ? EVERYWHERE : (nemesisFamilies[name] ?? [name])))
    .map((name) => {
      const found = nemeses.find((nemesis) => nemesis.name === name);
      if (found === undefined) {
        const known = [...Object.keys(nemesisFamilies), ...nemeses.map((nemesis) => nemesis.name), 'all'];
        throw new Error(`unknown nemesis ${name}; known are ${known.join(', ')}`);
      }
      return found;
    });
}
