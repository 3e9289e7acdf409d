/**
 * `npm run soak:collection`: whether collections of ten million elements work as small ones do. Three node processes. One collection of each kind is loaded side by side, pipelined; one node is killed and started again when a third
 * is loaded, and the replica of another one, which was taken out before, is added again when half is loaded. Then elements are found by rank,
 * name and position, ranges are read and trimmed, everything is checked against what was loaded, the collections are deleted, and the disk
 * has to come back after the retention. Smaller ones are kept; in the end all replicas must hold the same.
 * Exit code 1: something was wrong.
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { type AdminCalls, AdminClient } from '../src/adapter/grpc/index.ts';
import {
  contentOf,
  inTurn,
  itemOf,
  loadAnyOrder,
  loadInOrder,
  memberOf,
  type Progress,
  scattered,
} from './collections/loader.ts';
import { type VisibleState, visibleState } from './collections/visible.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count, oneOf, someOf } from './options.ts';
import { percentile } from './percentile.ts';
import { Scratch } from './scratch.ts';
import { verdictOf } from './spread.ts';

const NODES = [1, 2, 3];
const GROUPS = 3;
const CATALOG_GROUP = 1;
/** The node that is killed, and the one whose replicas are taken out and added. */
const KILLED = 2;
const ADDED = 3;
const CALL_TIMEOUT_MS = 10_000;
const POLL_MS = 500;
const READY_MS = 120_000;
const MEMBERS_MS = 1_800_000;
const SAMPLES = 500;
const RANGE = 100;
/** Removed in all, and in one command. */
const TRIMMED = 10_000;
const TRIMMED_AT_ONCE = 2_000;
/** After this a command of unknown outcome takes no effect any more. */
const SETTLE_MS = 8_000;
/** Kept to the end, of what is loaded. */
const KEPT_SHARE = 0.02;
const MIB = 1024 ** 2;
/** What a delete may take, and what files may be left of the peak beyond what is kept. */
const DELETE_BAR_MS = 250;
const LEFT_SHARE = 0.35;

const COLLECTIONS = ['zset', 'hash', 'list'] as const;
const ORDERS = ['scattered', 'rising'] as const;

interface Options extends BenchmarkOptions {
  readonly elements: number;
  readonly collections: readonly (typeof COLLECTIONS)[number][];
  readonly order: (typeof ORDERS)[number];
  readonly connections: number;
  readonly retention: string;
  readonly spaceMinutes: number;
}

const program = benchmark({
  script: 'soak:collection',
  says: 'Finds out whether collections of ten million elements work as small ones do, while nodes die and replicas are added.',
  peers: 'nobody: what is asked is whether anything is wrong. redis-server is in bench:types.',
})
  .option('--elements <count>', 'of each collection', count(1e9), 10_000_001)
  .option('--collections <kinds>', `comma-separated: ${COLLECTIONS.join(', ')}`, someOf(COLLECTIONS), [...COLLECTIONS])
  .option('--order <order>', `in which elements come: ${ORDERS.join(' or ')}`, oneOf(ORDERS), 'scattered')
  .option('--connections <count>', 'of the load', count(1_000), 8)
  .option('--retention <time>', 'how long overwritten versions stay', '60s')
  .option('--space-minutes <minutes>', 'how long the disk may take to come back', count(100_000), 30);
program.parse();
const options = program.opts<Options>();
const { elements, connections } = options;
const [hasZset, hasHash, hasList] = COLLECTIONS.map((kind) => options.collections.includes(kind)) as [
  boolean,
  boolean,
  boolean,
];
const order = options.order === 'rising' ? inTurn : scattered;
const kinds = options.collections.length;

interface Figure {
  readonly what: string;
  readonly value: string;
  readonly bar?: string;
  readonly passed?: boolean;
}

const figures: Figure[] = [];

function note(what: string, value: string, bar?: { readonly text: string; readonly passed: boolean }): void {
  figures.push({ what, value, ...(bar === undefined ? {} : { bar: bar.text, passed: bar.passed }) });
  console.error(`  ${what}: ${value}${bar === undefined ? '' : ` (${bar.text}: ${bar.passed ? 'yes' : 'NO'})`}`);
}

/** Bytes of the files of the stores: the log has a size of its own. */
function storeBytes(dataFolder: string): number {
  let bytes = 0;
  for (const node of NODES) {
    const folder = join(dataFolder, `n${node}`);
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!entry.startsWith('group-')) continue;
      try {
        const facts = statSync(join(folder, entry));
        if (facts.isFile()) bytes += facts.blocks * 512;
      } catch {
        // It went while this looked.
      }
    }
  }
  return bytes;
}

/** Asks any node that is up. */
class Operator {
  private readonly addresses: readonly string[];

  constructor(addresses: readonly string[]) {
    this.addresses = addresses;
  }

  async call<Name extends keyof AdminCalls>(name: Name, request: AdminCalls[Name][0]): Promise<AdminCalls[Name][1]> {
    let last: unknown;
    for (const address of this.addresses) {
      const client = new AdminClient(address);
      try {
        return await client.call(name, request, CALL_TIMEOUT_MS);
      } catch (error) {
        last = error;
      } finally {
        client.close();
      }
    }
    throw last;
  }

  /** Takes steps until the node is what is wanted in every data group. */
  async change(node: number, wanted: 'voter' | 'out'): Promise<void> {
    const untilMs = performance.now() + MEMBERS_MS;
    for (;;) {
      const { groups } = await this.call('Members', { groups: [] });
      let left = 0;
      for (const { groupId, members } of groups) {
        if (groupId === CATALOG_GROUP) continue;
        const suffrage = members.find(({ nodeId }) => nodeId === node)?.suffrage;
        if (suffrage === (wanted === 'out' ? undefined : 'voter')) continue;
        left += 1;
        const request = { groupId, nodeId: node };
        const name = wanted === 'out' ? 'Remove' : suffrage === undefined ? 'AddLearner' : 'Promote';
        // What is refused now is asked again: a learner has to catch up first.
        await this.call(name, { ...request, address: '' }).catch(() => undefined);
      }
      if (left === 0) return;
      if (performance.now() > untilMs) throw new Error(`node ${node} is not ${wanted} after ${MEMBERS_MS / 1000} s`);
      await delay(POLL_MS);
    }
  }
}

const secondsSince = (startMs: number): number => (performance.now() - startMs) / 1000;

/** How long each call took. */
async function sample(what: string, act: (id: number) => Promise<void>): Promise<void> {
  const latenciesMs: number[] = [];
  for (let left = SAMPLES; left > 0; left--) {
    const id = Math.floor(Math.random() * elements);
    const startMs = performance.now();
    await act(id);
    latenciesMs.push(performance.now() - startMs);
  }
  note(what, `p50 ${formatMs(percentile(latenciesMs, 0.5))}, p99 ${formatMs(percentile(latenciesMs, 0.99))}`);
}

const ZSET = 'soak:zset';
const HASH = 'soak:hash';
const LIST = 'soak:list';

async function loadAll(ports: readonly number[], suffix: string, count: number, progress: Progress): Promise<void> {
  const share = Math.max(1, Math.floor(connections / (hasZset && hasHash ? 2 : 1)));
  const loads: Promise<void>[] = [];
  if (hasZset) {
    const commandOf = (ids: readonly number[]) => ['zadd', ZSET + suffix, ...ids.flatMap((id) => [id, memberOf(id)])];
    loads.push(loadAnyOrder(ports, share, count, commandOf, order, progress));
  }
  if (hasHash) {
    const commandOf = (ids: readonly number[]) => [
      'hset',
      HASH + suffix,
      ...ids.flatMap((id) => [memberOf(id), contentOf(id)]),
    ];
    loads.push(loadAnyOrder(ports, share, count, commandOf, order, progress));
  }
  if (hasList) loads.push(loadInOrder(ports, LIST + suffix, count, progress));
  await Promise.all(loads);
}

/** Loads while a node is killed and started again, and a replica is added. */
async function load(nodes: LocalNodes, ports: readonly number[], operator: Operator): Promise<void> {
  const progress: Progress = { loaded: 0, retries: 0 };
  const reached = async (share: number): Promise<void> => {
    while (progress.loaded < share * kinds * elements) await delay(POLL_MS);
  };
  const disturb = async (): Promise<void> => {
    await reached(1 / 3);
    const process = nodes.cluster.process(KILLED)!;
    process.kill('SIGKILL');
    await process.waitExit();
    nodes.cluster.revive(KILLED);
    const untilMs = performance.now() + READY_MS;
    // The node that is out of its groups has no leaders to know, so the cluster as a whole is not ready.
    while (!(await nodes.cluster.process(KILLED)!.status()).isReady) {
      assert.ok(performance.now() < untilMs, `node ${KILLED} is ready again in time`);
      await delay(POLL_MS);
    }
    note('killed and back', `node ${KILLED} at ${formatCount(progress.loaded)} elements`);
    await reached(1 / 2);
    const startMs = performance.now();
    await operator.change(ADDED, 'voter');
    note(
      'replica added',
      `node ${ADDED} votes after ${secondsSince(startMs).toFixed(1)} s, then ${formatCount(progress.loaded)} elements`,
    );
  };
  const ticker = setInterval(
    () => console.error(`  ${formatCount(progress.loaded)} of ${formatCount(kinds * elements)}`),
    30_000,
  );
  const startMs = performance.now();
  const disturbed = disturb();
  await Promise.all([loadAll(ports, '', elements, progress), disturbed]);
  clearInterval(ticker);
  const seconds = secondsSince(startMs);
  note(
    'loaded',
    `${formatCount(kinds * elements)} elements in ${seconds.toFixed(0)} s (${formatCount((kinds * elements) / seconds)}/s), ${progress.retries} batches again`,
  );
}

async function look(client: Redis): Promise<void> {
  const last = elements - RANGE;
  const half = Math.floor(elements / 2);
  await sample('GET of a short string', async () => void (await client.get('soak:nothing')));
  if (hasZset) {
    assert.equal(await client.zcard(ZSET), elements);
    await sample('ZRANK', async (id) => assert.equal(await client.zrank(ZSET, memberOf(id)), id));
    await sample('ZSCORE', async (id) => assert.equal(Number(await client.zscore(ZSET, memberOf(id))), id));
    await sample(`ZRANGE by index, ${RANGE}`, async (id) => {
      const from = Math.min(id, last);
      const members = await client.zrange(ZSET, String(from), String(from + RANGE - 1));
      assert.deepEqual(
        members,
        Array.from({ length: RANGE }, (_, at) => memberOf(from + at)),
      );
    });
    await sample('ZCOUNT of half', async (id) => {
      assert.equal(await client.zcount(ZSET, id, id + half - 1), Math.min(half, elements - id));
    });
  }
  if (hasHash) {
    assert.equal(await client.hlen(HASH), elements);
    await sample('HGET', async (id) => assert.equal(await client.hget(HASH, memberOf(id)), contentOf(id)));
  }
  if (!hasList) return;
  assert.equal(await client.llen(LIST), elements);
  await sample('LINDEX', async (id) => assert.equal(await client.lindex(LIST, id), itemOf(id)));
  await sample(`LRANGE, ${RANGE}`, async (id) => {
    const from = Math.min(id, last);
    const items = await client.lrange(LIST, from, from + RANGE - 1);
    assert.deepEqual(
      items,
      Array.from({ length: RANGE }, (_, at) => itemOf(from + at)),
    );
  });
}

/** Removes from the front until so many are left; what ended unknown may have happened. */
async function shrink(
  what: string,
  wanted: number,
  size: () => Promise<number>,
  removeFirst: (from: number, count: number) => Promise<unknown>,
): Promise<void> {
  const latenciesMs: number[] = [];
  for (let left = await size(); left > wanted; left = await size()) {
    const startMs = performance.now();
    try {
      await removeFirst(elements - left, Math.min(TRIMMED_AT_ONCE, left - wanted));
      latenciesMs.push(performance.now() - startMs);
    } catch (error) {
      console.error(`  ${what}: ${(error as Error).message}`);
      await delay(SETTLE_MS);
    }
  }
  assert.equal(await size(), wanted, `${what}: nothing else is gone`);
  note(`${what} of ${formatCount(TRIMMED_AT_ONCE)}`, `p50 ${formatMs(percentile(latenciesMs, 0.5))}`);
}

async function trim(client: Redis): Promise<void> {
  const trimmed = Math.min(TRIMMED, Math.floor(elements / 10));
  const wanted = elements - trimmed;
  const id = Math.floor((trimmed + elements) / 2);
  if (hasZset) {
    await shrink(
      'ZREMRANGEBYRANK',
      wanted,
      () => client.zcard(ZSET),
      (_, count) => client.zremrangebyrank(ZSET, 0, count - 1),
    );
    assert.equal(await client.zrank(ZSET, memberOf(id)), id - trimmed);
  }
  if (hasList) {
    await shrink(
      'LTRIM',
      wanted,
      () => client.llen(LIST),
      (_, count) => client.ltrim(LIST, count, -1),
    );
    assert.equal(await client.lindex(LIST, id - trimmed), itemOf(id));
  }
  if (!hasHash) return;
  await shrink(
    'HDEL',
    wanted,
    () => client.hlen(HASH),
    (from, count) => client.hdel(HASH, ...Array.from({ length: count }, (__, at) => memberOf(from + at))),
  );
  assert.equal(await client.hget(HASH, memberOf(0)), null);
}

async function remove(client: Redis): Promise<void> {
  for (const key of [...(hasZset ? [ZSET] : []), ...(hasHash ? [HASH] : []), ...(hasList ? [LIST] : [])]) {
    const startMs = performance.now();
    assert.equal(await client.del(key), 1);
    const ms = performance.now() - startMs;
    note(`DEL ${key}`, formatMs(ms), { text: `<= ${DELETE_BAR_MS} ms`, passed: ms <= DELETE_BAR_MS });
    assert.equal(await client.exists(key), 0);
  }
}

/** Waits until the files are small again. */
async function spaceBack(dataFolder: string, peakBytes: number): Promise<void> {
  const startMs = performance.now();
  const wanted = peakBytes * LEFT_SHARE;
  let bytes = storeBytes(dataFolder);
  while (bytes > wanted && secondsSince(startMs) < options.spaceMinutes * 60) {
    await delay(POLL_MS);
    bytes = storeBytes(dataFolder);
  }
  note(
    'stores after the deletes',
    `${formatCount(bytes / MIB)} of ${formatCount(peakBytes / MIB)} MiB after ${secondsSince(startMs).toFixed(0)} s`,
    { text: `<= ${LEFT_SHARE * 100} %`, passed: bytes <= wanted },
  );
}

/** Ends the nodes once all have applied the same, and compares what they hold. */
async function compare(nodes: LocalNodes): Promise<void> {
  const places = async (): Promise<string> => {
    const members = await nodes.members();
    const byNode = members.map(({ groups }) =>
      groups
        .map(({ groupId, appliedIndex }) => `${groupId}:${appliedIndex}`)
        .sort()
        .join(),
    );
    return new Set(byNode).size === 1 ? byNode[0]! : '';
  };
  const untilMs = performance.now() + READY_MS;
  while ((await places()) === '' && performance.now() < untilMs) await delay(POLL_MS);
  await nodes.stop();
  for (let group = CATALOG_GROUP + 1; group <= CATALOG_GROUP + GROUPS; group++) {
    const states: VisibleState[] = [];
    for (const node of NODES) states.push(await visibleState(join(nodes.dataFolder, `n${node}`, `group-${group}`)));
    const isEqual = states.every(({ digest }) => digest === states[0]!.digest);
    note(
      `group ${group} on three replicas`,
      `${formatCount(states[0]!.rows)} rows, ${states.map(({ lostRows }) => formatCount(lostRows)).join(', ')} to collect`,
      { text: 'equal', passed: isEqual },
    );
  }
}

async function main(): Promise<void> {
  const scratch = new Scratch(options.folder);
  try {
    const nodes = await startLocalNodes(scratch, {
      nodes: NODES.length,
      groups: GROUPS,
      flags: { retentionMs: options.retention },
      onLine: (node, line) => console.error(`n${node} | ${line}`),
    });
    const members = await nodes.members();
    const ports = members.map(({ addresses }) => portOf(addresses.redis));
    const operator = new Operator(members.map(({ addresses }) => addresses.grpc));
    await operator.change(ADDED, 'out');
    await load(nodes, ports, operator);
    const client = new Redis(ports[0]!, '127.0.0.1');
    scratch.own(async () => client.disconnect());
    await look(client);
    await trim(client);
    await loadAll(ports, ':kept', Math.ceil(elements * KEPT_SHARE), { loaded: 0, retries: 0 });
    const peakBytes = storeBytes(nodes.dataFolder);
    await remove(client);
    await spaceBack(nodes.dataFolder, peakBytes);
    client.disconnect();
    await compare(nodes);
  } finally {
    await scratch.clean();
  }
  const rows = figures.map(({ what, value, bar = '', passed }) => [what, value, bar, verdictOf(passed)]);
  if (options.json === true) console.log(JSON.stringify(figures, undefined, 2));
  else console.log(formatTable([['what', 'figure', 'bar', 'verdict'], ...rows]));
  if (figures.some(({ passed }) => passed === false)) process.exitCode = 1;
}

await main();
