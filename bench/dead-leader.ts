/**
 * `npm run bench:dead-leader`: does the loss of one group's leader harm the others? Three nodes, each a process. One is killed that leads
 * one group, while clients of the two others write keys of another group, which a surviving node leads, and keys of the
 * group that has just lost its leader, on other connections. Printed: writes a second of the healthy group in calm,
 * while the other group had no leader and afterwards, what they cost, its slowest quarter of a second, and how long the other was away. Each round has a
 * cluster of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import type { ClusterMember } from '../cmd/cluster/index.ts';
import { AdminClient } from '../src/adapter/grpc/index.ts';
import { Ledger } from './ledger.ts';
import { startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { conclude } from './results.ts';
import { Scratch } from './scratch.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText } from './spread.ts';

const NODES = 3;
const GROUPS = 3;
const CALL_TIMEOUT_MS = 10_000;
const LEAD_TIMEOUT_MS = 60_000;
const WINDOW_MS = 250;
const LOOK_MS = 5;
/** A client of the group without a leader gives up and tries again. */
const PATIENCE_MS = 20_000;
/** Groups 2, 3 and 4 share the slots; the catalog's group, which is 1, stays with a survivor. */
const LEADERS = [
  [1, 2],
  [2, 1],
  [3, 2],
  [4, 3],
] as const;
const AWAY_BAR_MS = 2_000;
const SYSTEM = 'healthy group';
const CALM = 'calm';
const LEADERLESS = 'while the other has no leader';
const AFTERWARDS = 'afterwards';

interface Options extends BenchmarkOptions {
  readonly clients: number;
}

/** What one round found beside rates. */
interface Round {
  readonly slowestCalm: number;
  readonly slowestLeaderless: number;
  readonly awayMs: number;
  /** Writes of the healthy group that failed. */
  readonly failures: number;
}

/** Writes of one group's keys by clients that send the next when the last was answered. */
class Load {
  /** When each write was answered. */
  readonly answeredMs: number[] = [];
  failures = 0;
  isOver = false;
  readonly loops: Promise<void>[];

  constructor(clients: readonly Redis[], tag: string) {
    let serial = 0;
    this.loops = clients.map(async (client) => {
      while (!this.isOver) {
        await client.set(`{${tag}}${serial++ % 1_000}`, 'value').then(
          () => this.answeredMs.push(performance.now()),
          () => this.failures++,
        );
      }
    });
  }

  rate(fromMs: number, toMs: number): number {
    const count = this.answeredMs.filter((ms) => ms >= fromMs && ms < toMs).length;
    return (count * 1_000) / (toMs - fromMs);
  }

  /** Writes a second of the slowest window. */
  slowest(fromMs: number, toMs: number): number {
    let slowest = Number.POSITIVE_INFINITY;
    for (let ms = fromMs; ms + WINDOW_MS <= toMs; ms += WINDOW_MS / 5) {
      slowest = Math.min(slowest, this.rate(ms, ms + WINDOW_MS));
    }
    return slowest;
  }
}

/** A hash tag whose slot lies in a range. */
async function tagIn(client: Redis, from: number, to: number): Promise<string> {
  for (let at = 0; ; at++) {
    const slot = (await client.call('CLUSTER', 'KEYSLOT', `t${at}`)) as number;
    if (slot >= from && slot < to) return `t${at}`;
  }
}

/** Has a node lead a group, and waits until it does. */
async function lead(admin: AdminClient, members: () => Promise<ClusterMember[]>, group: number, node: number) {
  for (const endMs = performance.now() + LEAD_TIMEOUT_MS; performance.now() < endMs; await sleep(200)) {
    const seen = (await members()).map(({ groups }) => groups.find(({ groupId }) => groupId === group)?.leader);
    if (seen.every((leader) => leader === node)) return;
    await admin.call('TransferLeader', { groupId: group, to: node }, CALL_TIMEOUT_MS).catch(() => undefined);
  }
  throw new Error(`node ${node} does not lead group ${group}`);
}

/** One cluster, one killed leader. */
async function round({ clients: wanted, seconds, folder }: Options, ledger: Ledger): Promise<Round> {
  const scratch = new Scratch(folder);
  try {
    const { cluster, members } = await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS });
    const started = await members();
    const addresses = started.map(({ addresses: own }) => own);
    const admin = new AdminClient(addresses[0]!.grpc);
    await admin.call('SetSetting', { name: 'balance.leaders', value: 'off' }, CALL_TIMEOUT_MS);
    for (const [group, node] of LEADERS) await lead(admin, members, group, node);
    admin.close();

    const connect = (count: number): Redis[] =>
      Array.from({ length: count }, (_, at) => {
        const client = new Redis(`redis://${addresses[1 + (at % 2)]!.redis}`, { commandTimeout: PATIENCE_MS });
        client.on('error', () => undefined);
        scratch.own(async () => client.disconnect());
        return client;
      });
    const clients = connect(wanted);
    const others = connect(2);
    const healthy = new Load(clients, await tagIn(clients[0]!, 5_461, 10_922));
    const orphaned = new Load(others, await tagIn(clients[0]!, 0, 5_461));
    await sleep(seconds * 1_000);
    const survivors = [{ role: 'survivor', pids: started.slice(1).map(({ pid }) => pid) }];
    const during = async (name: string, work: () => Promise<unknown>): Promise<readonly [number, number]> => {
      const fromMs = performance.now();
      await ledger.measure(name, SYSTEM, survivors, async () => {
        const before = healthy.answeredMs.length;
        await work();
        return { perSecond: healthy.rate(fromMs, performance.now()), commands: healthy.answeredMs.length - before };
      });
      return [fromMs, performance.now()];
    };
    const calm = await during(CALM, () => sleep(seconds * 1_000));
    const leaderless = await during(LEADERLESS, async () => {
      cluster.process(1)!.kill('SIGKILL');
      const before = orphaned.answeredMs.length + others.length;
      while (orphaned.answeredMs.length <= before) await sleep(LOOK_MS);
    });
    await during(AFTERWARDS, () => sleep(seconds * 1_000));
    for (const load of [healthy, orphaned]) load.isOver = true;
    await Promise.all([...healthy.loops, ...orphaned.loops]);
    return {
      slowestCalm: healthy.slowest(...calm),
      slowestLeaderless: healthy.slowest(leaderless[0], leaderless[1] + WINDOW_MS),
      awayMs: leaderless[1] - leaderless[0],
      failures: healthy.failures,
    };
  } finally {
    await scratch.clean();
  }
}

async function main(options: Options): Promise<number> {
  const ledger = new Ledger();
  const rounds: Round[] = [];
  for (let at = 0; at < options.rounds; at++) rounds.push(await round(options, ledger));
  const calm = ledger.rates(CALM, SYSTEM);
  const rows = (
    [
      ['slowest quarter second in calm', rounds.map(({ slowestCalm }) => slowestCalm)],
      [LEADERLESS, ledger.rates(LEADERLESS, SYSTEM)],
      ['slowest quarter second of that', rounds.map(({ slowestLeaderless }) => slowestLeaderless)],
      [AFTERWARDS, ledger.rates(AFTERWARDS, SYSTEM)],
    ] as const
  ).map(([what, rates]) => [what, `${rangeOf(rates, formatCount)}/s`, ratioText(ratiosOf(rates, calm))]);
  const away = rounds.map(({ awayMs }) => awayMs);
  const failures = rounds.reduce((sum, each) => sum + each.failures, 0);
  return conclude(
    {
      name: 'dead-leader',
      facts: { ...options, lines: ledger.facts(), found: rounds },
      tables: [
        formatTable(
          [[SYSTEM, 'writes', 'to calm'], [CALM, `${rangeOf(calm, formatCount)}/s`, ''], ...rows],
          ['left', 'right', 'right'],
        ),
        ledger.formatCosts('us of CPU a write'),
      ],
      verdicts: [
        {
          text: `the other group was away for ${rangeOf(away, (ms) => ms.toFixed(0))} ms, <= ${AWAY_BAR_MS} ms`,
          passed: median(away) <= AWAY_BAR_MS,
          isQuiet: ledger.others.isQuiet && (median(away) <= AWAY_BAR_MS || areQuiet(away)),
        },
        { text: `${failures} writes of the healthy group failed, 0`, passed: failures === 0, isQuiet: true },
      ],
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:dead-leader',
  says: "Measures what the loss of one group's leader does to the others.",
  peers: 'nobody: etcd has one group, and redis-server none. Their failover is in npm run bench.',
  rounds: 3,
  seconds: 4,
}).option('-c, --clients <count>', 'of the healthy group, one write at a time each', count(1_000), 10);
program.parse();
process.exit(await main(program.opts<Options>()));
