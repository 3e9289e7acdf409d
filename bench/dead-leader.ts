/**
 * `npm run bench:dead-leader`: does the loss of one group's leader harm the others? Three nodes, each a process. One is killed that leads
 * one group, while clients of the two others write keys of another group, which a surviving node leads, and keys of the
 * group that has just lost its leader, on other connections. Printed: writes a second of the healthy group in calm,
 * while the other group had no leader and afterwards, its slowest quarter of a second, and how long the other was away.
 *
 *   npm run bench:dead-leader -- [--clients 10] [--folder <folder>]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import type { ClusterMember } from '../cmd/cluster/index.ts';
import { AdminClient } from '../src/adapter/grpc/index.ts';
import { startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

const NODES = 3;
const GROUPS = 3;
const CALL_TIMEOUT_MS = 10_000;
const LEAD_TIMEOUT_MS = 60_000;
const CALM_MS = 4_000;
const AFTER_MS = 4_000;
const WINDOW_MS = 250;
/** A client of the group without a leader gives up and tries again. */
const PATIENCE_MS = 20_000;

const { values } = parseArgs({ options: { clients: { type: 'string', default: '10' }, folder: { type: 'string' } } });

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

const scratch = new Scratch(values.folder);
try {
  const { cluster, members } = await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS });
  const addresses = (await members()).map(({ addresses: own }) => own);
  const admin = new AdminClient(addresses[0]!.grpc);
  await admin.call('SetSetting', { name: 'balance.leaders', value: 'off' }, CALL_TIMEOUT_MS);
  // Groups 2, 3 and 4 share the slots; the catalog's group stays with a survivor.
  for (const [group, node] of [
    [1, 2],
    [2, 1],
    [3, 2],
    [4, 3],
  ] as const)
    await lead(admin, members, group, node);
  admin.close();

  const connect = (count: number): Redis[] =>
    Array.from({ length: count }, (_, at) => {
      const client = new Redis(`redis://${addresses[1 + (at % 2)]!.redis}`, { commandTimeout: PATIENCE_MS });
      client.on('error', () => undefined);
      return client;
    });
  const clients = connect(Number(values.clients));
  const others = connect(2);
  const healthy = new Load(clients, await tagIn(clients[0]!, 5_461, 10_922));
  const orphaned = new Load(others, await tagIn(clients[0]!, 0, 5_461));
  await sleep(CALM_MS);
  const calmFromMs = performance.now();
  await sleep(CALM_MS);
  const killedMs = performance.now();
  cluster.process(1)!.kill('SIGKILL');
  const before = orphaned.answeredMs.length + others.length;
  while (orphaned.answeredMs.length <= before) await sleep(5);
  const backMs = performance.now();
  await sleep(AFTER_MS);
  const endMs = performance.now();
  for (const load of [healthy, orphaned]) load.isOver = true;
  await Promise.all([...healthy.loops, ...orphaned.loops]);
  for (const client of [...clients, ...others]) client.disconnect();

  const calm = healthy.rate(calmFromMs, killedMs);
  const line = (what: string, rate: number): string =>
    `${what.padEnd(44)} ${rate.toFixed(0).padStart(7)} writes/s ${(rate / calm).toFixed(2).padStart(6)} x`;
  console.log(line('healthy group, calm', calm));
  console.log(line('healthy group, slowest quarter second in calm', healthy.slowest(calmFromMs, killedMs)));
  console.log(line('healthy group, while the other has no leader', healthy.rate(killedMs, backMs)));
  console.log(line('healthy group, slowest quarter second of that', healthy.slowest(killedMs, backMs + WINDOW_MS)));
  console.log(line('healthy group, afterwards', healthy.rate(backMs, endMs)));
  console.log(
    `the other group was away for ${(backMs - killedMs).toFixed(0)} ms; ${healthy.failures} failed writes of the healthy one`,
  );
} finally {
  await scratch.clean();
}
