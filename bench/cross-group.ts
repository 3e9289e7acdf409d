/**
 * `node bench/cross-group.ts`: what does it cost that keys are in different groups? One node with three groups, in this process,
 * beside 50 clients in this process too. Printed for SET, MSET of two keys in one group, MSET and MGET of two keys in two:
 * operations a second, and CPU time an operation, the clients' included.
 */
import { Redis } from 'ioredis';
import { startNode } from '../src/node.ts';
import { freePortRange, Scratch } from './scratch.ts';

const HOST = '127.0.0.1';
const CLIENTS = 50;
const SECONDS = 4;
const KEYS = 1_000;

const scratch = new Scratch();
const port = await freePortRange(1);
const node = await startNode(
  {
    nodeId: 1,
    locality: '',
    clusterName: 'cross-group',
    dataFolder: scratch.folder,
    members: [{ nodeId: 1, address: `${HOST}:${port}` }],
    joins: false,
    groups: 3,
    storeMemoryBytes: 64 * 1024 * 1024,
    redis: { host: HOST, port: 0 },
    grpc: { host: HOST, port },
    metrics: { host: HOST, port: 0 },
    raft: { tickMs: 10, heartbeatMs: 50, electionTimeoutMs: 300 },
    retentionMs: 60_000,
    logLevel: 'silent',
  },
  'bench',
);
while (!node.readiness().ready) await new Promise((resolve) => setTimeout(resolve, 10));
const clients = Array.from({ length: CLIENTS }, () => new Redis(`redis://${node.addresses.redis}`));

/** Slots of `a` and `b` with these tags are thirds of the slots apart. */
const one = (at: number) => `{a}${at % KEYS}`;
const other = (at: number) => `{b}${at % KEYS}`;
const RUNS: readonly (readonly [string, (client: Redis, at: number) => Promise<unknown>])[] = [
  ['SET', (client, at) => client.set(one(at), 'value')],
  ['MSET, one group', (client, at) => client.mset(one(at), 'value', one(at + 1), 'value')],
  ['MSET, two groups', (client, at) => client.mset(one(at), 'value', other(at), 'value')],
  ['MGET, one group', (client, at) => client.mget(one(at), one(at + 1))],
  ['MGET, two groups', (client, at) => client.mget(one(at), other(at))],
];

try {
  for (const [name, run] of RUNS) {
    let done = 0;
    let next = 0;
    let failed = 0;
    const untilMs = performance.now() + SECONDS * 1_000;
    const before = process.cpuUsage();
    const beganMs = performance.now();
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < untilMs) {
          await run(client, next++).then(
            () => done++,
            () => failed++,
          );
        }
      }),
    );
    const { user, system } = process.cpuUsage(before);
    const rate = (done / (performance.now() - beganMs)) * 1_000;
    const cpu = (user + system) / done;
    console.log(
      `${name.padEnd(18)} ${rate.toFixed(0).padStart(8)} ops/s ${cpu.toFixed(0).padStart(6)} us CPU an operation, ${failed} failed`,
    );
  }
} finally {
  for (const client of clients) client.disconnect();
  await node.stop();
  await scratch.clean();
}
