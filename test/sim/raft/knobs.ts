/** Everything that one seed decides before the run starts: constants of the core, speeds, and which faults happen. */
import type { SeededRandom } from '../../../src/platform/index.ts';
import type { RaftConfig } from '../../../src/raftengine/core/types.ts';

export interface Knobs {
  readonly voters: number;
  readonly learners: number;
  /** Nodes that are members of nothing at first. */
  readonly spares: number;
  readonly durationMs: number;
  readonly raft: Omit<RaftConfig, 'groupId' | 'nodeId'>;
  /** Bound on the difference of clock speeds; the core is told the same. */
  readonly drift: number;
  readonly networkDelayMs: number;
  /** Messages take between half of the delay and this many times as much more: they overtake each other. */
  readonly jitter: number;
  /** Chance of a message to be late by up to two election timeouts. */
  readonly straggles: number;
  readonly loses: number;
  readonly duplicates: number;
  readonly diskDelayMs: number;
  readonly applyDelayMs: number;
  /** Chance that a step's work is gathered with the next one's. */
  readonly lazyTurn: number;
  readonly noticesStalls: boolean;
  readonly keepEntries: number;
  /** Mean time between proposals on each node that believes to lead. */
  readonly proposalMs: number;
  /** Mean time between faults; each kind has a weight, 0 when this seed is without it. */
  readonly faultMs: number;
  /** Clients work and rest in turns of this length; 0 is always. */
  readonly lullMs: number;
  /** Messages stay as late and as many as during the faults when those have ended. */
  readonly staysLate: boolean;
  /** At first, for so long: some disks stand still, crashes and cuts follow each other quickly. */
  readonly stormMs: number;
  readonly weights: Readonly<Record<Fault, number>>;
}

export const FAULTS = [
  'crash',
  'pause',
  'split',
  'isolate',
  'oneWay',
  'narrow',
  'heal',
  'confChange',
  'transfer',
  'flush',
  'campaign',
  'unreachable',
  'stall',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Weights of faults in a storm. */
export const STORM: Knobs['weights'] = {
  crash: 3,
  pause: 0,
  split: 1,
  isolate: 1,
  oneWay: 1,
  narrow: 5,
  heal: 1,
  confChange: 1,
  transfer: 0,
  flush: 0,
  campaign: 1,
  unreachable: 0,
  stall: 0,
};

export function drawKnobs(random: SeededRandom): Knobs {
  const oneOf = <T>(...choices: T[]): T => choices[random.int(choices.length)]!;
  const electionTimeoutTicks = oneOf(8, 10, 15);
  const drift = oneOf(0, 0.001, 0.05, 0.2);
  const weights = Object.fromEntries(
    FAULTS.map((fault) => [fault, random.next() < 0.65 ? 1 + random.int(5) : 0]),
  ) as Record<Fault, number>;
  weights.heal = Math.max(weights.heal, 2);
  const knobs = drawRest(random, weights, electionTimeoutTicks, drift);
  // Drawn last, so that the rest of a seed's story does not hang on it. Clients that never pause let no group rest.
  const quietAfterTicks = oneOf(0, 2, 5, 12);
  const lullMs = quietAfterTicks === 0 ? 0 : oneOf(60, 150, 400);
  const staysLate = random.next() < 0.5;
  const stormMs = random.next() < 0.25 ? oneOf(3, 5, 8) * electionTimeoutTicks * knobs.raft.tickMs : 0;
  const jitter = oneOf(1, 1, 4);
  const drawn = { ...knobs, raft: { ...knobs.raft, quietAfterTicks }, lullMs, staysLate, stormMs, jitter };
  return random.next() < 0.15 ? beginAlone(drawn, random) : drawn;
}

/** A group of one voter that takes the others in; mostly before its store has anything on disk. */
function beginAlone(knobs: Knobs, random: SeededRandom): Knobs {
  const weights = random.next() < 0.7 ? { ...knobs.weights, flush: 0 } : knobs.weights;
  return { ...knobs, voters: 1, spares: 2 + random.int(3), weights };
}

function drawRest(
  random: SeededRandom,
  weights: Record<Fault, number>,
  electionTimeoutTicks: number,
  drift: number,
): Knobs {
  const oneOf = <T>(...choices: T[]): T => choices[random.int(choices.length)]!;
  return {
    voters: oneOf(3, 3, 3, 4, 5, 5, 6, 7),
    learners: oneOf(0, 0, 1, 2),
    spares: oneOf(0, 1, 2),
    durationMs: 1500 + random.int(1500),
    raft: {
      electionTimeoutTicks,
      heartbeatTicks: oneOf(1, 2, 3),
      tickMs: 10,
      leaseMarginMs: oneOf(0, 0, 10),
      leaseDrift: drift,
      maxAppendBytes: oneOf(1, 32, 256, 4096),
      rotatesAppends: oneOf(false, true, true),
      maxInflightMessages: oneOf(1, 2, 4, 64),
      maxInflightBytes: oneOf(1, 64, 65536),
      maxUncommittedBytes: oneOf(64, 1024, 65536),
      maxPromoteLag: oneOf(2, 16, 1024),
      quietAfterTicks: 0,
    },
    drift,
    networkDelayMs: oneOf(1, 3, 10),
    jitter: 1,
    straggles: oneOf(0, 0.01, 0.05),
    loses: oneOf(0, 0, 0.02, 0.1, 0.25),
    duplicates: oneOf(0, 0.02, 0.1),
    diskDelayMs: oneOf(0, 2, 8, 40),
    applyDelayMs: oneOf(0, 1, 20),
    lazyTurn: oneOf(0, 0.2, 0.6),
    noticesStalls: random.next() < 0.5,
    keepEntries: oneOf(0, 1, 10, 100),
    proposalMs: oneOf(3, 10, 30),
    faultMs: oneOf(15, 40, 100),
    lullMs: 0,
    staysLate: false,
    stormMs: 0,
    weights,
  };
}
