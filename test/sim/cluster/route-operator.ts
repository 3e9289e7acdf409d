/** The operator who cuts, joins and carries ranges, makes groups and removes them, and gives moves up, through any node. */
import assert from 'node:assert/strict';
import { KEYSPACES_OF_ADAPTERS } from '../../../src/adapter/keyspaces.ts';
import { KEYSPACES, SLOT_COUNT } from '../../../src/adapter/redis/keys/keyspace.ts';
import { isAbortable } from '../../../src/distribution/catalog/catalog-jobs.ts';
import type { Route } from '../../../src/distribution/contract/types.ts';

import type { AssembledNode } from '../../../src/node/index.ts';
import { type GroupId, groupId, KvorumError, SeededRandom, type Simulation } from '../../../src/platform/index.ts';
import type { ClusterNode } from './cluster-node.ts';
import { type RoutesPlan, TRANSACTIONAL } from './plan.ts';

const CATALOG_GROUP = groupId(1);
/** More routes than this are joined rather than cut. */
const MAX_ROUTES = 24;
const MAX_GROUPS = 6;
const MAX_BATCH = 5;
const FOUNDERS = 3;
const PATIENCE_MS = 3000;
/** The first bytes of keys that clients can reach. */
const FIRST = KEYSPACES[0]!.wholeDb().start;
/** Where the keys of whole workloads are: cutting there is worth more than in the middle of nowhere. */
const BUSY_KEYS = [...[...TRANSACTIONAL].map((name) => `{${name}}`), 'counter', 'queue', 'ids'];
/** Keys that lie in many rows; those of one workload are in one slot. */
const LARGE_KEYS = [
  ...['hash-fields', 'members', 'leaderboard'].flatMap((name) => [0, 1, 2].map((at) => `{${name}}${at}`)),
  ...['list-queue', 'list-taken'].map((name) => `{list-queue}${name}`),
  ...['field-0', 'field-1', 'score-0', 'score-1'].map((name) => `{collection-bank}account-${name}`),
  'counters',
  'stream-group',
];
/** First bytes of rows behind a head, and some that no row begins with. */
const ROW_KINDS = Buffer.from('edptnogkXy');
const INCARNATION_BYTES = 8;

export interface RouteOperatorOptions {
  readonly simulation: Simulation;
  readonly nodes: readonly ClusterNode[];
  readonly plan: RoutesPlan;
  readonly say: (line: string) => void;
}

export class RouteOperator {
  private readonly options: RouteOperatorOptions;
  private isOver = false;
  /** Orders that were carried out, by kind. */
  readonly done = new Map<string, number>();

  constructor(options: RouteOperatorOptions) {
    this.options = options;
  }

  start(): void {
    const { simulation, plan, nodes } = this.options;
    for (const { atMs, seed } of plan.orders) {
      simulation.schedule(atMs, 'order', () => {
        const random = new SeededRandom(seed);
        const running = nodes.filter((node) => node.isUp);
        if (this.isOver || running.length === 0) return;
        const node = running[random.int(running.length)]!;
        // Nobody is asked who stands still.
        simulation.schedule(0, 'order taken', () => this.give(node, random), node.machine);
      });
    }
  }

  stop(): void {
    this.isOver = true;
  }

  private give(node: ClusterNode, random: SeededRandom): void {
    const { say } = this.options;
    const { process } = node;
    if (process === undefined) return;
    this.order(process.node, random).then(
      (what) => {
        if (what === undefined) return;
        this.done.set(what.split(' ', 1)[0]!, (this.done.get(what.split(' ', 1)[0]!) ?? 0) + 1);
        say(`order at node ${node.id}: ${what}`);
      },
      (error: unknown) => {
        if (!(error instanceof KvorumError)) throw error;
        say(`order at node ${node.id} refused: ${error.message}`);
      },
    );
  }

  /** @returns what was done; undefined when there was nothing to do */
  private async order(node: AssembledNode, random: SeededRandom): Promise<string | undefined> {
    const routes = [...node.routes.current.all()].filter(
      ({ start, end }) => start.length > 0 && (end === undefined || Buffer.compare(end, FIRST) > 0),
    );
    for (const { start } of routes)
      assert.deepEqual(KEYSPACES_OF_ADAPTERS.align(start), start, 'a cut through an object');
    if (routes.length === 0) return undefined;
    const draw = random.next();
    if (draw < 0.4) return this.move(node, routes, random);
    if (draw < 0.62 && routes.length < MAX_ROUTES) return this.split(node, random);
    if (draw < 0.68 && routes.length < MAX_ROUTES) return this.batchSplit(node, random);
    if (draw < 0.84) return this.merge(node, routes, random);
    if (draw < 0.92) return this.abort(node, random);
    if (!this.options.plan.changesGroups) return this.move(node, routes, random);
    return draw < 0.95 ? this.createGroup(node, random) : this.removeGroup(node, random);
  }

  private pick<T>(from: readonly T[], random: SeededRandom): T | undefined {
    return from.length === 0 ? undefined : from[random.int(from.length)]!;
  }

  private groups(node: AssembledNode): GroupId[] {
    return (node.clusterState()?.groups ?? []).filter(({ state }) => state === 'ACTIVE').map(({ id }) => id);
  }

  /** The start of a slot, or some place in the middle of a key, which the cluster puts at the start of the key. */
  private cut(random: SeededRandom): Buffer {
    const keyspace = KEYSPACES[random.next() < 0.25 ? 1 : 0]!;
    const { cutsInObjects } = this.options.plan;
    if (cutsInObjects > 0 && random.next() < cutsInObjects) return this.cutInObject(random);
    const draw = random.next();
    if (draw < 0.02) {
      const busy = keyspace.storageKey(Buffer.from(this.pick(BUSY_KEYS, random)!));
      return Buffer.concat([busy, random.bytes(random.int(4))]);
    }
    if (draw < 0.1) return keyspace.wholeDb().start;
    if (draw < 0.7) return keyspace.slotRange(random.int(SLOT_COUNT), SLOT_COUNT).start;
    const key = keyspace.storageKey(Buffer.from(this.pick(BUSY_KEYS, random)!));
    const slot = key.readUInt16BE(2) + random.int(2);
    return keyspace.slotRange(slot, SLOT_COUNT).start;
  }

  /** Some place among the rows of a large key. */
  private cutInObject(random: SeededRandom): Buffer {
    const head = KEYSPACES[0]!.storageKey(Buffer.from(this.pick(LARGE_KEYS, random)!));
    const kind = Buffer.of(ROW_KINDS[random.int(ROW_KINDS.length)]!);
    return Buffer.concat([head, kind, random.bytes(random.int(INCARNATION_BYTES + 5))]);
  }

  private async move(node: AssembledNode, routes: readonly Route[], random: SeededRandom) {
    const { version: expectedVersion } = node.routes.current;
    const route = this.pick(
      routes.filter(({ state }) => state === 'ACTIVE'),
      random,
    );
    const dst = this.pick(
      this.groups(node).filter((group) => group !== route?.groupId),
      random,
    );
    if (route === undefined || dst === undefined) return undefined;
    const { id: routeId, start } = route;
    const { job } = await node.catalog.run({ kind: 'createMove', expectedVersion, routeId, start, dst }, PATIENCE_MS);
    return `move ${start.toString('hex')} from group ${route.groupId} to ${dst}: job ${job.id}`;
  }

  private async split(node: AssembledNode, random: SeededRandom) {
    const splitKey = this.cut(random);
    const table = node.routes.current;
    await node.catalog.run(
      {
        kind: 'split',
        expectedVersion: table.version,
        routeId: table.lookup(splitKey)!.id,
        splitKey,
        splitAtTs: node.kv.nowTs(),
      },
      PATIENCE_MS,
    );
    return `split ${splitKey.toString('hex')}`;
  }

  private async batchSplit(node: AssembledNode, random: SeededRandom) {
    const table = node.routes.current;
    const items = Array.from({ length: 1 + random.int(MAX_BATCH) }, () => {
      const splitKey = this.cut(random);
      return { routeId: table.lookup(splitKey)!.id, splitKey };
    });
    await node.catalog.run(
      {
        kind: 'batchSplit',
        expectedVersion: table.version,
        batchId: random.bytes(16),
        items,
        splitAtTs: node.kv.nowTs(),
      },
      PATIENCE_MS,
    );
    return `batch of ${items.length} splits`;
  }

  private async merge(node: AssembledNode, routes: readonly Route[], random: SeededRandom) {
    const { version: expectedVersion } = node.routes.current;
    const pairs = routes.flatMap((right, at) => {
      const left = routes[at - 1];
      return left !== undefined && left.groupId === right.groupId ? [{ left, right }] : [];
    });
    const pair = this.pick(pairs, random);
    if (pair === undefined) return this.mergeAcross(node, routes, random);
    const { left, right } = pair;
    await node.catalog.run(
      { kind: 'merge', expectedVersion, leftId: left.id, rightId: right.id, boundary: right.start },
      PATIENCE_MS,
    );
    return `merge ${right.start.toString('hex')}`;
  }

  private async mergeAcross(node: AssembledNode, routes: readonly Route[], random: SeededRandom) {
    const { version: expectedVersion } = node.routes.current;
    const right = this.pick(routes.slice(1), random);
    const left = right === undefined ? undefined : routes[routes.indexOf(right) - 1];
    if (left === undefined || right === undefined) return undefined;
    const moves = random.next() < 0.5 ? 'left' : 'right';
    const pair = { leftId: left.id, rightId: right.id, boundary: right.start };
    const { job } = await node.catalog.run({ kind: 'createMerge', expectedVersion, ...pair, moves }, PATIENCE_MS);
    return `mergeAcross ${right.start.toString('hex')} in group ${job.dst}: job ${job.id}`;
  }

  private async abort(node: AssembledNode, random: SeededRandom) {
    const jobs = await node.catalog.jobs(PATIENCE_MS);
    const job = this.pick(
      jobs.filter(({ phase }) => isAbortable(phase)),
      random,
    );
    if (job === undefined) return undefined;
    const { id: jobId, revision: expectedRevision } = job;
    await node.catalog.run({ kind: 'transitionJob', jobId, expectedRevision, phase: 'ABORTING' }, PATIENCE_MS);
    return `abort of job ${jobId} in ${job.phase}`;
  }

  private async createGroup(node: AssembledNode, random: SeededRandom) {
    if (this.groups(node).length >= MAX_GROUPS) return undefined;
    const known = (node.clusterState()?.nodes ?? []).map(({ nodeId }) => nodeId);
    if (known.length < FOUNDERS) return undefined;
    const founders = known
      .map((id) => ({ id, draw: random.next() }))
      .sort((left, right) => left.draw - right.draw)
      .slice(0, FOUNDERS)
      .map(({ id }) => id);
    const preferredLeader = random.next() < 0.5 ? founders[0] : undefined;
    const row = await node.catalog.run({ kind: 'createGroup', id: undefined, founders, preferredLeader }, PATIENCE_MS);
    return `group ${row.id} on nodes ${founders.join()}`;
  }

  private async removeGroup(node: AssembledNode, random: SeededRandom) {
    const id = this.pick(
      this.groups(node).filter((group) => group !== CATALOG_GROUP),
      random,
    );
    if (id === undefined) return undefined;
    const held = [...node.routes.current.ofGroup(id)];
    if (held.length > 0) {
      // It has to be emptied before; the next order may find it so.
      return this.move(node, held, random);
    }
    await node.catalog.run({ kind: 'removeGroup', id }, PATIENCE_MS);
    return `removal of group ${id}`;
  }
}
