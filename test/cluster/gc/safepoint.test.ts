import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decodeAnswer,
  decodeNotes,
  decodeQuestion,
  encodeGc,
  encodeNotes,
  NO_NOTES,
} from '../../../src/cluster/gc/codec.ts';
import type { GcChannel } from '../../../src/cluster/gc/endpoint.ts';
import { handedOver, retentionOf, safepointWork } from '../../../src/cluster/gc/safepoint.ts';
import type { Certificate, NodeGcReport, SafepointNotes } from '../../../src/cluster/gc/types.ts';
import type { WorkUnit } from '../../../src/cluster/work/runner.ts';
import { clusterStateOf } from '../../../src/distribution/catalog/catalog-state.ts';
import { FEATURES } from '../../../src/distribution/catalog/features.ts';
import { JOB_PHASES, type JobPhase, type JobRow } from '../../../src/distribution/contract/catalog-rows.ts';
import type { ClusterState, FeatureRow } from '../../../src/distribution/contract/cluster-types.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import {
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  nodeId,
  timestampOfMs,
} from '../../../src/platform/index.ts';
import { nodeReport } from '../../distribution/builders.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';

const NOW_MS = 1_700_000_100_000;
const RETENTION_MS = 60_000;
const CANDIDATE = timestampOfMs(NOW_MS - RETENTION_MS);
const NONE = hlcTimestamp(0n);

const job = (id: number, phase: JobPhase): JobRow =>
  ({ id, phase, revision: 1, routeId: 1, src: groupId(1), dst: groupId(2) }) as JobRow;

/** A cluster of groups that answer what the test says. */
class Stage implements GcChannel {
  readonly model = CatalogModel.bootstrapped();
  /** In the order in which it happened. */
  readonly told: string[] = [];
  readonly certificates = new Map<number, HlcTimestamp | Error>();
  readonly pins = new Map<number, HlcTimestamp | Error>();
  /** What clocks show that do not show what the round's does. */
  readonly clocks = new Map<number, number>();
  isWorth = true;
  /** What groups were asked to certify. */
  readonly asked = new Set<HlcTimestamp>();
  readonly stuck = new Set<number>();
  jobs: readonly JobRow[] = [];
  onCertify: () => void = () => undefined;
  nowMs = NOW_MS;
  saved: SafepointNotes | undefined;
  neededTs: HlcTimestamp | undefined;
  isNeeded: (state: ClusterState) => boolean = () => true;

  constructor() {
    for (const id of [1, 2, 3]) this.heartbeat(id);
    for (const name of ['gc.safepoint', 'gc.pins']) this.model.run({ kind: 'activateFeature', name });
  }

  heartbeat(id: number): void {
    const node = nodeReport(id, { heartbeatMs: this.nowMs });
    this.model.run({ kind: 'putNode', node, expectedRevision: undefined });
  }

  get groups(): GroupId[] {
    return [...this.model.state.groups.keys()];
  }

  async certify(group: GroupId, candidate: HlcTimestamp): Promise<Certificate> {
    this.onCertify();
    this.told.push(`certify ${group}`);
    this.asked.add(candidate);
    const answer = this.certificates.get(group) ?? candidate;
    if (answer instanceof Error) throw answer;
    return { group, ts: answer, heldBy: answer < candidate ? 'a lock' : '', thresholdTs: NONE };
  }

  async raise(group: GroupId, publishedTs: HlcTimestamp) {
    this.told.push(`raise ${group}`);
    const isStuck = this.stuck.has(group);
    return { group, thresholdTs: isStuck ? NONE : publishedTs, heldBy: isStuck ? 'a move of a range' : '' };
  }

  async report(node: number): Promise<NodeGcReport> {
    const pin = this.pins.get(node);
    if (pin instanceof Error) throw pin;
    return { pinTs: pin, pinPurpose: pin === undefined ? '' : 'backup', clockMs: this.clocks.get(node), stores: [] };
  }

  async collect(): Promise<void> {}

  unit() {
    return safepointWork({
      catalog: { clusterState: async () => clusterStateOf(this.model.state), jobs: async () => this.jobs },
      channel: this,
      clock: { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs },
      retentionMs: RETENTION_MS,
      isWorth: () => this.isWorth,
      needed: (state) =>
        this.neededTs && this.isNeeded(state) ? { ts: this.neededTs, who: 'archive', why: 'it is behind' } : undefined,
    });
  }

  /** One round. @returns what it leaves behind */
  async round(before: SafepointNotes = NO_NOTES, unit = this.unit()): Promise<SafepointNotes> {
    const left = await unit.run({
      signal: new AbortController().signal,
      notes: encodeNotes(before),
      save: async (notes) => {
        this.told.push('publish');
        this.saved = decodeNotes(notes);
      },
    });
    return decodeNotes(left);
  }
}

describe('the safepoint of the cluster', () => {
  test('is what every group has certified, published before any group is told', async () => {
    const stage = new Stage();
    const { publishedTs, holders, pending } = await stage.round();
    assert.equal(publishedTs, CANDIDATE);
    assert.deepEqual(holders, []);
    assert.deepEqual(pending, []);
    const { told } = stage;
    assert.ok(told.lastIndexOf(`certify ${stage.groups.at(-1)}`) < told.indexOf('publish'));
    assert.ok(told.indexOf('publish') < told.findIndex((what) => what.startsWith('raise')));
    assert.equal(told.filter((what) => what.startsWith('raise')).length, stage.groups.length);
    assert.equal(stage.saved?.publishedTs, CANDIDATE);
  });

  test('is asked for below what is pinned: a transaction that is open gets its locks, however old it is', async () => {
    const stage = new Stage();
    stage.pins.set(1, hlcTimestamp(CANDIDATE - 10n));
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, CANDIDATE - 11n);
    assert.deepEqual([...stage.asked], [CANDIDATE - 11n]);
    assert.deepEqual(holders, [{ who: 'node 1', why: 'backup' }]);
  });

  test('is the smallest answer, whoever gives it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(100), { maxLength: 6 }), async (behind) => {
        const stage = new Stage();
        const { groups } = stage;
        behind.slice(0, groups.length).forEach((steps, at) => {
          stage.certificates.set(groups[at]!, hlcTimestamp(CANDIDATE - BigInt(steps)));
        });
        const { publishedTs } = await stage.round();
        const most = Math.max(0, ...behind.slice(0, groups.length));
        assert.equal(publishedTs, CANDIDATE - BigInt(most));
      }),
      { numRuns: 30 },
    );
  });

  test('stays where it is while a group cannot answer, and says which one', async () => {
    const stage = new Stage();
    const [first] = stage.groups;
    stage.certificates.set(first!, new LeaderUnavailableError('no leader could be reached'));
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, NONE);
    assert.deepEqual(holders, [{ who: `group ${first}`, why: 'no leader could be reached' }]);
    assert.ok(!stage.told.some((what) => what.startsWith('raise')), 'nobody is told of a safepoint that there is not');
    const isDueAfter = (ms: number) => stage.unit().isDue(encodeNotes({ ...NO_NOTES, atMs: NOW_MS - ms, holders }));
    assert.deepEqual([9_999, 10_000].map(isDueAfter), [false, true], 'tried again soon');
  });

  test('never falls, and what is pending is told again', async () => {
    const stage = new Stage();
    const [first] = stage.groups;
    stage.stuck.add(first!);
    const before = await stage.round();
    assert.deepEqual(before.pending, [first]);
    stage.stuck.clear();
    stage.certificates.set(first!, hlcTimestamp(5n));
    stage.nowMs += 60_000;
    for (const id of [1, 2, 3]) stage.heartbeat(id);
    const after = await stage.round(before);
    assert.equal(after.publishedTs, before.publishedTs);
    assert.deepEqual(after.pending, []);
  });

  test('stays below what is pinned anywhere', async () => {
    const stage = new Stage();
    const pinTs = hlcTimestamp(CANDIDATE - 77n);
    stage.pins.set(1, pinTs);
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, pinTs - 1n);
    assert.deepEqual(holders, [{ who: 'node 1', why: 'backup' }]);
  });

  test('stays at what is needed elsewhere', async () => {
    const stage = new Stage();
    stage.neededTs = hlcTimestamp(CANDIDATE - 50n);
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, CANDIDATE - 50n);
    assert.deepEqual(holders, [{ who: 'archive', why: 'it is behind' }]);
    stage.neededTs = hlcTimestamp(CANDIDATE + 1n);
    assert.equal((await stage.round()).publishedTs, CANDIDATE);
  });

  test('stays at what came to be needed while nodes were asked for pins: those were let go of because it was noted', async () => {
    const stage = new Stage();
    stage.model.run({ kind: 'activateFeature', name: 'backups' });
    stage.isNeeded = ({ features }) => features.some(({ name }) => name === 'backups.archive');
    stage.neededTs = hlcTimestamp(CANDIDATE - 50n);
    stage.onCertify = () => stage.model.run({ kind: 'activateFeature', name: 'backups.archive' });
    assert.equal((await stage.round()).publishedTs, CANDIDATE - 50n);
  });

  test('is held back by a node that lives and cannot be asked, until its pins have run out', async () => {
    const stage = new Stage();
    stage.pins.set(1, new LeaderUnavailableError('it does not answer'));
    assert.equal((await stage.round()).publishedTs, NONE);
    stage.nowMs += 80_000;
    assert.equal((await stage.round()).publishedTs, timestampOfMs(stage.nowMs - RETENTION_MS));
  });

  test('does not rise in a round in which a range was handed over: its locks may have been seen in neither place', async () => {
    const stage = new Stage();
    stage.jobs = [job(7, 'CATCH_UP')];
    stage.onCertify = () => {
      stage.jobs = [job(7, 'ACTIVATE')];
    };
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, NONE);
    assert.equal(holders[0]?.who, 'job 7');
    // The next round sees the range where it is now.
    assert.equal((await stage.round()).publishedTs, CANDIDATE);
  });

  test('does not rise while a range may be let go of: what is imported last may be seen in neither place', async () => {
    const stage = new Stage();
    stage.jobs = [job(7, 'RELEASE')];
    assert.deepEqual((await stage.round()).holders, [{ who: 'job 7', why: 'handed its range over during the round' }]);
    stage.onCertify = () => {
      stage.jobs = [job(7, 'PUBLISH')];
    };
    assert.equal((await stage.round()).publishedTs, NONE);
    assert.equal((await stage.round()).publishedTs, CANDIDATE);
  });

  test('does not rise in a round in which a group came', async () => {
    const stage = new Stage();
    stage.onCertify = () => {
      if (stage.groups.length < 5)
        stage.model.run({ kind: 'createGroup', id: groupId(90), founders: [nodeId(1)], preferredLeader: undefined });
    };
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, NONE);
    assert.match(holders[0]!.who, /group 90/);
  });

  test('comes every tenth of the retention where something waits for it, and hardly ever where nothing does', () => {
    const stage = new Stage();
    const isDueAfter = (ms: number) => stage.unit().isDue(encodeNotes({ ...NO_NOTES, atMs: NOW_MS - ms }));
    assert.deepEqual([5_999, 6_000].map(isDueAfter), [false, true]);
    stage.isWorth = false;
    assert.deepEqual([599_999, 600_000].map(isDueAfter), [false, true]);
  });

  test('comes again after two such distances, and 10 s at most, where somebody held it back', async () => {
    const stage = new Stage();
    const holders = [{ who: 'node 2', why: 'a backup' }];
    const isDueAfter = (unit: WorkUnit, ms: number) =>
      unit.isDue(encodeNotes({ ...NO_NOTES, holders, atMs: NOW_MS - ms }));
    assert.deepEqual(
      [9_999, 10_000].map((ms) => isDueAfter(stage.unit(), ms)),
      [false, true],
    );
    stage.model.run({ kind: 'setSetting', name: 'gc.retentionMs', value: '5000' });
    const unit = stage.unit();
    await stage.round(NO_NOTES, unit);
    assert.deepEqual(
      [1_999, 2_000].map((ms) => isDueAfter(unit, ms)),
      [false, true],
    );
  });

  test('is the present of the clock that is furthest behind, less the retention: what is read there without a pin is younger', async () => {
    const stage = new Stage();
    stage.clocks.set(2, NOW_MS - 900);
    const { publishedTs, holders } = await stage.round();
    assert.equal(publishedTs, timestampOfMs(NOW_MS - 900 - RETENTION_MS));
    assert.deepEqual(holders, []);
    stage.clocks.set(3, NOW_MS - 1_001);
    assert.deepEqual((await stage.round()).holders, [{ who: 'node 3', why: 'its clock is behind' }]);
  });

  test('keeps half an hour while a node reads the past without a pin, unless the setting says otherwise', async () => {
    const stage = new Stage();
    (stage.model.state.features as Map<string, FeatureRow>).delete('gc.pins');
    assert.equal((await stage.round()).publishedTs, timestampOfMs(NOW_MS - 30 * 60_000));
    stage.model.run({ kind: 'setSetting', name: 'gc.retentionMs', value: '5000' });
    assert.equal((await stage.round()).publishedTs, timestampOfMs(NOW_MS - 5_000));
  });

  test('keeps what the setting says, once it says something', async () => {
    const stage = new Stage();
    stage.model.run({ kind: 'setSetting', name: 'gc.retentionMs', value: '5000' });
    assert.equal(retentionOf(clusterStateOf(stage.model.state), RETENTION_MS), 5_000);
    assert.equal((await stage.round()).publishedTs, timestampOfMs(NOW_MS - 5_000));
    assert.throws(
      () => stage.model.run({ kind: 'setSetting', name: 'gc.retentionMs', value: '-1' }),
      (error: unknown) => error instanceof CatalogError && error.code === 'INVALID_SETTING',
    );
  });

  test('waits until every node knows its entries', async () => {
    const stage = new Stage();
    const rows = stage.model.state.features as Map<string, FeatureRow>;
    rows.delete('gc.safepoint');
    assert.ok(FEATURES['gc.safepoint'] !== undefined);
    const notes = await stage.round();
    assert.deepEqual(stage.told, []);
    assert.equal(notes.publishedTs, NONE);
  });
});

describe('a range that is handed over between two looks at the jobs', () => {
  const RELEASE = JOB_PHASES.indexOf('RELEASE');
  const DONE = JOB_PHASES.indexOf('DONE');
  const mayHaveReleased = (phase: JobPhase): boolean => {
    const at = JOB_PHASES.indexOf(phase);
    return at >= RELEASE && at <= DONE;
  };
  const hasReleased = (phase: JobPhase): boolean => mayHaveReleased(phase) && phase !== 'RELEASE';

  test('is found, whatever else goes on', () => {
    const phase = fc.constantFrom(...JOB_PHASES);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('1', '2', '3'), fc.tuple(phase, phase)), (moves) => {
        const entries = Object.entries(moves).map(([id, [from, to]]) => ({ id: Number(id), from, to }));
        const crossed = entries.filter(({ from, to }) => !hasReleased(from) && mayHaveReleased(to));
        const found = handedOver(
          entries.map(({ id, from }) => job(id, from)),
          entries.map(({ id, to }) => job(id, to)),
        );
        if (crossed.length === 0) assert.equal(found, undefined);
        else assert.ok(crossed.some(({ id }) => id === found));
      }),
    );
  });

  test('is found when its job began and ended in between, and when the job was forgotten', () => {
    assert.equal(handedOver([job(1, 'DONE')], [job(2, 'DONE'), job(1, 'DONE')]), 2);
    assert.equal(handedOver([job(3, 'FENCE')], []), 3);
    assert.equal(handedOver([job(3, 'RELEASE')], []), 3);
    assert.equal(handedOver([job(3, 'DONE')], []), undefined);
  });
});

describe('what is said about collection', () => {
  test('comes back as it was', () => {
    const ts = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(hlcTimestamp);
    fc.assert(
      fc.property(ts, ts, fc.string(), (one, other, text) => {
        const certificate: Certificate = { group: groupId(7), ts: one, heldBy: text, thresholdTs: other };
        assert.deepEqual(decodeAnswer(encodeGc(certificate)), certificate);
        const question = { kind: 'raise', group: groupId(7), ts: one } as const;
        assert.deepEqual(decodeQuestion(encodeGc(question)), question);
        const notes: SafepointNotes = {
          publishedTs: one,
          candidateTs: other,
          raisedAtMs: 1,
          atMs: 2,
          holders: [{ who: 'group 1', why: text.slice(0, 100) }],
          pending: [groupId(1)],
        };
        assert.deepEqual(decodeNotes(encodeNotes(notes)), notes);
      }),
    );
  });

  test('fits into the notes of a unit of work however many hold back', () => {
    const holders = Array.from({ length: 5_000 }, (_, at) => ({ who: `group ${at}`, why: 'x'.repeat(500) }));
    const pending = Array.from({ length: 5_000 }, (_, at) => groupId(4_000_000_000 - at));
    const bytes = encodeNotes({ ...NO_NOTES, holders, pending });
    assert.ok(bytes.length <= 4_096, `${bytes.length} bytes`);
    assert.match(decodeNotes(bytes).holders.at(-1)!.who, /4985 more/);
  });

  test('is refused when it cannot be read, and unreadable notes mean that nothing is known', () => {
    assert.throws(() => decodeQuestion(Buffer.from('nonsense')), { code: 'GC_MESSAGE' });
    assert.deepEqual(decodeNotes(Buffer.from([0xd9])), NO_NOTES);
  });
});
