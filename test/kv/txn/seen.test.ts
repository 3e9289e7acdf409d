/**
 * What a transaction has shown binds the session that it is part of, whatever became of it: reads of replicas that follow show no less.
 * On whole nodes whose wall clocks are ten seconds apart, and on such whose clocks agree: there the oracle grants nothing that lies ahead.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { KEYSPACES } from '../../../src/adapter/redis/keys/keyspace.ts';
import type { KvTransaction } from '../../../src/kv/contract/transactions.ts';
import type { KeyView, ScanPage } from '../../../src/kv/contract/view.ts';
import { encodeToken } from '../../../src/kv/reads/token.ts';
import type { GroupId, HlcTimestamp } from '../../../src/platform/index.ts';
import type { ClusterNode } from '../../sim/cluster/cluster-node.ts';
import type { SimRedis } from '../../sim/cluster/sim-redis.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';

const TIMEOUT_MS = 20_000;
const NEVER = 0n as HlcTimestamp;
const SPACE = KEYSPACES[0]!;
const RANGE = SPACE.wholeDb();

/** What was shown of a key; undefined: there was none. */
type Shown = string | undefined;

async function startCluster(): Promise<SimulatedNodes> {
  const cluster = new SimulatedNodes(3, 3);
  cluster.start();
  await cluster.ready();
  return cluster;
}

class Bench {
  private cluster!: Pick<SimulatedNodes, 'nodes' | 'simulation'>;
  /** Leads neither key's group. */
  private reader!: ClusterNode;
  private writer!: SimRedis;
  /** Keys of two groups. */
  names: readonly string[] = [];
  private values = 0;

  async start(isSkewed: boolean): Promise<void> {
    this.cluster = isSkewed ? await startSkewedCluster(5) : await startCluster();
    const { nodes } = this.cluster;
    const { kv } = nodes[0]!.process!.node;
    const byGroup = new Map<GroupId, string>();
    for (let at = 0; byGroup.size < 3; at++) byGroup.set(kv.groupOf(SPACE.storageKey(Buffer.from(`k${at}`))), `k${at}`);
    const leads = (node: ClusterNode, group: GroupId): boolean => node.process!.node.kv.servesLocally(group);
    this.reader = nodes.reduce((best, node) => {
      const count = (one: ClusterNode): number => [...byGroup.keys()].filter((group) => leads(one, group)).length;
      return count(node) < count(best) ? node : best;
    });
    this.names = [...byGroup].filter(([group]) => !leads(this.reader, group)).map(([, name]) => name);
    assert.ok(this.names.length >= 2);
    this.writer = await this.run(nodes[0]!.connect());
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.cluster.simulation.runToEnd(work, TIMEOUT_MS);
  }

  get transactions() {
    return this.reader.process!.node.transactions;
  }

  deadlineMs(): number {
    return this.reader.machine.clock.monotonicMs() + TIMEOUT_MS;
  }

  begin(isolation: 'serializable' | 'snapshot'): Promise<KvTransaction> {
    return this.run(this.transactions.begin({ isolation, deadlineMs: this.deadlineMs() }));
  }

  /** Somebody else changes the key; undefined deletes it. */
  async change(name: string, isDelete: boolean): Promise<void> {
    await this.run(this.writer.command(isDelete ? ['del', name] : ['set', name, `v${++this.values}`]));
  }

  rest(ms: number): Promise<void> {
    return this.cluster.simulation.runFor(ms);
  }

  key(name: string): Buffer {
    return SPACE.storageKey(Buffer.from(name));
  }

  text(value: Buffer | undefined): Shown {
    // Stored values have a type in front.
    return value?.subarray(1).toString();
  }

  async get(t: KvTransaction, name: string): Promise<Shown> {
    return this.text((await this.run(t.get(this.key(name))))?.value);
  }

  async scanned(t: KvTransaction, name: string): Promise<Shown> {
    let shown: Shown;
    for (let start: Buffer | undefined = RANGE.start; start !== undefined; ) {
      const page: ScanPage = await this.run(t.scan({ start, end: RANGE.end, limit: 100 }));
      const row = page.rows.find(({ key }) => key.equals(this.key(name)));
      if (row !== undefined) shown = this.text(row.value);
      start = page.next;
    }
    return shown;
  }

  /** Reads as the session does that goes on at this timestamp. */
  async session(name: string, ts: HlcTimestamp): Promise<Shown> {
    const { kv, reads } = this.reader.process!.node;
    const key = this.key(name);
    const consistency = { kind: 'session', token: encodeToken(reads.cluster(), ts) } as const;
    const request = { group: kv.groupOf(key), keys: [key], consistency, deadlineMs: this.deadlineMs() };
    return this.text((await this.run(reads.readAt(request))).values[0]?.value);
  }
}

/** How a key is looked at, and the timestamp that the session goes on from. */
interface Way {
  readonly name: string;
  readonly isolation: 'serializable' | 'snapshot';
  look(bench: Bench, t: KvTransaction, name: string): Promise<readonly [shown: Shown, ts: HlcTimestamp]>;
}

type Look = (bench: Bench, t: KvTransaction, name: string) => Promise<Shown>;
type End = (bench: Bench, t: KvTransaction, name: string) => Promise<HlcTimestamp>;

const commit: End = (bench, t) => bench.run(t.commit(bench.deadlineMs()));
const reads: Look = (bench, t, name) => bench.get(t, name);
const scans: Look = (bench, t, name) => bench.scanned(t, name);

const writesElsewhere: End = (bench, t, name) => {
  t.put(bench.key('elsewhere'), Buffer.from('x'), NEVER);
  return commit(bench, t, name);
};

const givesUp: End = async (bench, t) => {
  await bench.run(t.rollback());
  return t.seenTs;
};

const losesAgainstOther: End = async (bench, t, name) => {
  const other = bench.names.find((one) => one !== name)!;
  await bench.get(t, other);
  await bench.change(other, false);
  t.put(bench.key(other), Buffer.from('lost'), NEVER);
  await assert.rejects(commit(bench, t, name));
  return t.seenTs;
};

const way = (name: string, look: Look, end: End, isolation: Way['isolation'] = 'serializable'): Way => ({
  name,
  isolation,
  look: async (bench, t, key) => {
    const shown = await look(bench, t, key);
    return [shown, await end(bench, t, key)];
  },
});

const WAYS: readonly Way[] = [
  way('reads and is committed', reads, commit),
  way('scans and is committed', scans, commit),
  way('reads, writes elsewhere and is committed', reads, writesElsewhere),
  way('reads and is given up', reads, givesUp),
  way('scans and is given up', scans, givesUp),
  way('reads and loses against somebody else', reads, losesAgainstOther),
  way('reads a snapshot and is given up', reads, givesUp, 'snapshot'),
];

for (const isSkewed of [true, false]) {
  describe(`a session, clocks ${isSkewed ? 'apart' : 'together'}`, () => {
    const bench = new Bench();
    before(() => bench.start(isSkewed));

    for (const { name: what, isolation, look } of WAYS) {
      for (const isDelete of [false, true]) {
        test(`does not go back behind a transaction that ${what} (${isDelete ? 'a delete' : 'a write'} was seen)`, async () => {
          for (const name of bench.names) {
            await bench.change(name, false);
            await bench.rest(4000);
            const t = await bench.begin(isolation);
            await bench.rest(1500);
            await bench.change(name, isDelete);
            const [shown, ts] = await look(bench, t, name);
            const states = [shown, await bench.session(name, ts)];
            assert.equal(states[1], states[0]);
          }
        });
      }
    }

    for (const isDelete of [false, true]) {
      for (const absent of [0, 2]) {
        test(`does not go back behind one step over groups that only reads (${absent} keys absent, ${isDelete ? 'a delete' : 'a write'} was seen)`, async () => {
          const [name, other] = bench.names as [string, string];
          await bench.change(name, false);
          await bench.change(other, absent === 2);
          await bench.rest(4000);
          await bench.change(name, isDelete);
          const keys = [name, other, ...(absent === 2 ? ['nothing'] : [])].map((one) => bench.key(one));
          const body = (view: KeyView): Shown[] => keys.map((key) => bench.text(view.get(key)?.value));
          const request = { keys, deadlineMs: bench.deadlineMs(), isReadOnly: true };
          const { reply, commitTs, seenTs } = await bench.run(bench.transactions.run(request, body));
          assert.equal(commitTs, undefined);
          assert.equal(await bench.session(name, seenTs), reply![0]);
          const again = await bench.run(bench.transactions.run({ keys, deadlineMs: bench.deadlineMs() }, body));
          assert.equal(await bench.session(name, again.seenTs), again.reply![0]);
        });
      }
    }
  });
}
