/**
 * Several clients, leaders that come and go at any moment, entries and answers that get lost. Afterwards the rows are those
 * that the leader has in memory, versions follow each other, and the change log holds every acknowledged operation once and no
 * refused one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ForwardingCatalogClient } from '../../../src/cluster/catalog/client.ts';
import type { CatalogRequest } from '../../../src/cluster/contract/catalog.ts';
import type { JobResult } from '../../../src/distribution/catalog/catalog-jobs.ts';
import type { CatalogState } from '../../../src/distribution/catalog/catalog-state.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import type { CatalogDelta, DeltaCause } from '../../../src/distribution/contract/types.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { nodeReport } from '../../distribution/builders.ts';
import { visible } from '../../distribution/catalog-model.ts';
import type { FakeCatalogCluster, Fate } from '../../support/fake-catalog.ts';
import { founded, moveOf, routeAt, splitAt, versionOf } from './founded.ts';

const NODES = 3;
const CLIENTS = 4;
const REQUESTS = 12;

/** What a client was told. */
type Told = 'done' | 'refused' | 'unknown';

interface Sent {
  readonly request: CatalogRequest;
  told: Told;
  reply: unknown;
}

/** Newest cluster state that anybody was given. */
interface Seen {
  revision: number;
}

const keyOf = (random: SeededRandom): string => String.fromCharCode(97 + random.int(26), 97 + random.int(26));

/** A request that a client with this state might make; the state may be old. */
function requestFrom(state: CatalogState, random: SeededRandom, number: number): CatalogRequest {
  const choice = random.int(10);
  const key = keyOf(random);
  if (choice < 3) return splitAt(state, key);
  if (choice < 5) {
    const { splitAtTs, routeId, splitKey } = splitAt(state, key);
    const batchId = Buffer.alloc(16);
    batchId.writeUInt32BE(number, 0);
    const items = [{ routeId, splitKey }];
    return { kind: 'batchSplit', expectedVersion: versionOf(state), batchId, items, splitAtTs };
  }
  if (choice < 6) {
    const right = routeAt(state, key);
    const left = state.routes.before(right.start) ?? right;
    return {
      kind: 'merge',
      expectedVersion: versionOf(state),
      leftId: left.id,
      rightId: right.id,
      boundary: right.start,
    };
  }
  const job = [...state.jobs.values()][0];
  if (choice < 8 && job !== undefined) {
    const phase = job.phase === 'PLANNED' ? 'ABORTING' : 'ABORTED';
    return { kind: 'transitionJob', jobId: job.id, expectedRevision: job.revision, phase };
  }
  if (choice < 9) return moveOf(state, key, 3 + random.int(2));
  const id = 1 + random.int(3);
  const node = nodeReport(id, { address: `n:${number}`, capabilities: 0n, heartbeatMs: number });
  return { kind: 'putNode', node, expectedRevision: undefined };
}

/** What was acknowledged before a question is in its answer, whoever leads by then. */
async function readBack(client: ForwardingCatalogClient, sent: readonly Sent[], seen: Seen): Promise<void> {
  const acknowledged = sent.flatMap(({ request, told, reply }) =>
    request.kind === 'createMove' && told === 'done' ? [(reply as JobResult).job.id] : [],
  );
  const { revision } = seen;
  try {
    const jobs = new Set((await client.jobs(3_000)).map(({ id }) => id));
    for (const id of acknowledged) assert.ok(jobs.has(id), `job ${id} was acknowledged`);
    const clusterState = await client.clusterState(3_000);
    assert.ok(clusterState.revision >= revision, 'documents do not go back');
    seen.revision = Math.max(seen.revision, clusterState.revision);
  } catch (error) {
    if (!['LEADER_UNAVAILABLE', 'OUTCOME_UNKNOWN'].includes((error as { code?: string }).code ?? '')) throw error;
  }
}

async function runClient(
  cluster: FakeCatalogCluster,
  random: SeededRandom,
  sent: Sent[],
  seen: Seen,
  count: () => number,
): Promise<void> {
  const client = cluster.client();
  let known: CatalogState | undefined;
  for (let left = REQUESTS; left > 0; left--) {
    await new Promise<void>((resolve) => cluster.time.after(random.int(40), resolve));
    const newest = cluster.leaders.map((leader) => leader.state).find((state) => state?.meta !== undefined);
    // Every now and then a client decides from what it knew before.
    if (known === undefined || random.int(4) > 0) known = newest ?? known;
    if (known === undefined) continue;
    if (random.int(5) === 0) await readBack(client, sent, seen);
    const one: Sent = { request: requestFrom(known, random, count()), told: 'unknown', reply: undefined };
    sent.push(one);
    try {
      one.reply = await client.run(one.request, 3_000);
      one.told = 'done';
    } catch (error) {
      if (error instanceof CatalogError) one.told = 'refused';
      else if ((error as { code?: string }).code === 'LEADER_UNAVAILABLE') one.told = 'refused';
      else if ((error as { code?: string }).code !== 'OUTCOME_UNKNOWN') throw error;
    }
  }
}

const FATES: readonly Fate[] = ['applied, unheard', 'lost', 'late', 'refused', 'busy'];

/** Elects nobody or somebody at moments that nobody expects. */
function disturb(cluster: FakeCatalogCluster, random: SeededRandom): () => void {
  let isOver = false;
  const { group, time } = cluster;
  group.fate = () => {
    if (random.int(25) === 0) group.elect(random.int(NODES));
    if (random.int(40) === 0) group.applyLate();
    return random.int(12) === 0 ? FATES[random.int(FATES.length)]! : 'ok';
  };
  cluster.delivery = () => {
    const choice = random.int(12);
    return choice === 0 ? 'question lost' : choice === 1 ? 'answer lost' : 'ok';
  };
  const again = (): void => {
    if (isOver) return;
    group.elect(random.int(4) === 0 ? undefined : random.int(NODES));
    time.after(random.int(300), again);
  };
  time.after(50, again);
  return () => {
    isOver = true;
    group.fate = () => 'ok';
    cluster.delivery = () => 'ok';
  };
}

/** Versions that an operation made, recognized by what nobody else writes. */
function versionsOf(deltas: readonly CatalogDelta[], request: CatalogRequest): number[] | undefined {
  const find = (cause: DeltaCause, match: (delta: CatalogDelta) => boolean): number[] =>
    deltas.filter((delta) => delta.cause === cause && match(delta)).map(({ version }) => version);
  switch (request.kind) {
    case 'split':
      return find('split', ({ mutations }) =>
        mutations.some(
          (one) =>
            one.kind === 'upsert' &&
            one.route.splitAtTs === request.splitAtTs &&
            one.route.parentId === request.routeId &&
            one.route.start.equals(request.splitKey),
        ),
      );
    case 'batchSplit':
      return find('batchSplit', ({ batchId }) => batchId?.equals(request.batchId) === true);
    default:
      return undefined;
  }
}

async function check(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const cluster = await founded(NODES);
  const sent: Sent[] = [];
  const seen: Seen = { revision: 0 };
  let numbers = 0;
  const calm = disturb(cluster, random.fork(1));
  const clients = Array.from({ length: CLIENTS }, (_, at) =>
    runClient(cluster, random.fork(10 + at), sent, seen, () => ++numbers),
  );
  await cluster.time.outcome(Promise.all(clients));
  calm();
  cluster.group.elect(random.int(NODES));
  const leader = cluster.leaders[cluster.group.leader!]!;
  const state = await cluster.time.outcome(leader.read((one) => one));
  // Loading refuses versions that do not follow each other, gaps, overlaps and deltas without rows.
  const rows = cluster.group.loaded();
  assert.deepEqual(visible(state), visible(rows));
  assert.deepEqual(visible(leader.state!), visible(rows));

  const deltas = Array.from({ length: rows.log.count }, (_, at) => rows.log.delta(rows.log.floor + at)!);
  const owners = new Map<number, Sent>();
  for (const one of sent) {
    const { request, told, reply } = one;
    const versions = versionsOf(deltas, request);
    const version = (reply as { version?: number } | undefined)?.version;
    if (versions === undefined) {
      if (request.kind === 'createMove' && told === 'done') {
        assert.equal(deltas.find((delta) => delta.version === version)?.cause, 'moveBegin');
      }
      continue;
    }
    assert.ok(versions.length <= 1, `${request.kind} took place ${versions.length} times`);
    if (told === 'done') assert.deepEqual(versions, [version], `an acknowledged ${request.kind}`);
    if (told === 'refused') assert.deepEqual(versions, [], `a refused ${request.kind}`);
    if (version !== undefined) {
      assert.equal(owners.has(version), false, 'two operations made one version');
      owners.set(version, one);
    }
  }
  for (const row of rows.nodes.values()) {
    const isSaid = sent.some(({ request }) => request.kind === 'putNode' && request.node.address === row.address);
    assert.ok(isSaid, 'a node has an address that somebody said');
  }
}

test('acknowledged operations took place once, refused ones never, and the state is that of the rows', async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), check), {
    numRuns: 40,
    endOnFailure: true,
  });
});
