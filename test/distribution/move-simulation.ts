/**
 * A whole cluster as far as ownership goes: the catalog, one span table and one map of values per group, clients that write,
 * and drivers that take jobs through the protocol. Drivers crash between any two steps, several work on one job with old knowledge, and their commands are
 * lost, delivered twice, or delivered long after.
 */
import assert from 'node:assert/strict';
import type { JobOp } from '../../src/distribution/catalog/catalog.ts';
import { isAbortable, type TransitionJobOp } from '../../src/distribution/catalog/catalog-jobs.ts';
import type { JobRow } from '../../src/distribution/contract/catalog-rows.ts';
import { CatalogError } from '../../src/distribution/contract/errors.ts';
import { SpanTable } from '../../src/distribution/ownership/span-table.ts';
import { applySpanCommand } from '../../src/distribution/ownership/span-transitions.ts';
import type { Span, SpanCommand, SpanOutcome } from '../../src/distribution/ownership/span-types.ts';
import { type GroupId, hlcTimestamp, type SeededRandom } from '../../src/platform/index.ts';
import { bytes, group, isBelow } from './builders.ts';
import { CatalogModel } from './catalog-model.ts';

const GROUPS = 4;

interface Sent {
  readonly to: GroupId;
  readonly command: SpanCommand;
}

export class MoveSimulation {
  readonly catalog = CatalogModel.bootstrapped();
  readonly tables = new Map<GroupId, SpanTable>();
  private readonly random: SeededRandom;
  /** Commands that drivers sent and that the network still has. */
  private readonly inFlight: Sent[] = [];
  /** Old job rows that a driver somewhere still believes in. */
  private readonly beliefs: JobRow[] = [];
  private readonly values = new Map<GroupId, Map<string, number>>();
  /** The last value of each key that a client was told is written. */
  private readonly acknowledged = new Map<string, number>();
  /** What a job's driver copied when the source was fenced. */
  private readonly copies = new Map<number, Map<string, number>>();
  private clock = 10n;
  /** Share of commands that are lost or late, of ten. */
  trouble = 3;

  constructor(random: SeededRandom) {
    this.random = random;
    for (let id = 1; id <= GROUPS; id++) {
      this.tables.set(group(id), SpanTable.empty);
      this.values.set(group(id), new Map());
    }
    for (const route of this.catalog.state.routes.all()) {
      this.deliver({ to: route.groupId, command: { kind: 'assign', start: route.start, end: route.end, epoch: 1 } });
    }
  }

  private deliver({ to, command }: Sent): SpanOutcome {
    const { table, outcome } = applySpanCommand(this.tables.get(to)!, command);
    this.tables.set(to, table);
    if (outcome.kind === 'done' && outcome.isChanged && outcome.span !== undefined)
      this.moveValues(to, command, outcome.span);
    this.checkOwnership();
    return outcome;
  }

  /** What a state machine does with the data when its span table changed. */
  private moveValues(to: GroupId, command: SpanCommand, span: Span): void {
    const values = this.values.get(to)!;
    if (command.kind === 'purge' || command.kind === 'incoming' || command.kind === 'drop') {
      for (const key of [...values.keys()]) if (isIn(key, span)) values.delete(key);
    }
    if (command.kind === 'activate') {
      for (const [key, value] of this.copies.get(command.job) ?? []) values.set(key, value);
    }
  }

  /** A client writes a random key wherever it is taken. */
  private write(): void {
    const key = String.fromCharCode(1 + this.random.int(255));
    for (const [id, table] of this.tables) {
      if (table.check(bytes(key), 'write').kind !== 'owned') continue;
      const value = (this.acknowledged.get(key) ?? 0) + 1;
      this.values.get(id)!.set(key, value);
      this.acknowledged.set(key, value);
    }
  }

  /** Whoever serves a key has the last value that was acknowledged. */
  checkValues(): void {
    for (const [key, value] of this.acknowledged) {
      for (const owner of this.ownersOf(bytes(key))) {
        assert.equal(this.values.get(owner)!.get(key), value, `group ${owner} lost a write of '${key}'`);
      }
    }
  }

  /** At most one group serves any key (G3). */
  checkOwnership(): void {
    for (const key of this.interestingKeys()) {
      const owners = this.ownersOf(key);
      assert.ok(owners.length <= 1, `groups ${owners.join(' and ')} both own '${key.toString('latin1')}'`);
    }
  }

  ownersOf(key: Buffer): GroupId[] {
    return [...this.tables].filter(([, table]) => table.check(key, 'read').kind === 'owned').map(([id]) => id);
  }

  /** Ownership changes only at the edges of spans. */
  interestingKeys(): Buffer[] {
    const keys = new Map<string, Buffer>();
    for (const table of this.tables.values()) {
      for (const span of table.spans) keys.set(span.start.toString('latin1'), span.start);
    }
    return [...keys.values()];
  }

  /** Sends a command; undefined when the driver never hears of it. */
  private send(to: GroupId, command: SpanCommand): SpanOutcome | undefined {
    const sent = { to, command };
    if (this.random.int(10) >= this.trouble) {
      if (this.random.int(10) < this.trouble) this.inFlight.push(sent);
      return this.deliver(sent);
    }
    if (this.random.int(2) === 0) this.inFlight.push(sent);
    else this.deliver(sent);
    return undefined;
  }

  /** One thing happens somewhere. */
  step(): void {
    this.write();
    if (this.random.int(8) === 0) this.checkValues();
    switch (this.random.int(8)) {
      case 0:
        this.begin();
        break;
      case 1:
        this.splitOrMerge();
        break;
      case 2:
        this.deliverLate();
        break;
      case 3:
        this.drive(this.beliefs[this.random.int(Math.max(1, this.beliefs.length))]);
        break;
      default:
        this.drive(this.someJob());
    }
    while (this.beliefs.length > 30) this.beliefs.shift();
  }

  private someJob(): JobRow | undefined {
    const jobs = [...this.catalog.state.jobs.values()];
    return jobs[this.random.int(Math.max(1, jobs.length))];
  }

  private deliverLate(): void {
    if (this.inFlight.length === 0) return;
    const at = this.random.int(this.inFlight.length);
    this.deliver(this.inFlight[at]!);
    if (this.random.int(3) > 0) this.inFlight.splice(at, 1);
  }

  private begin(): void {
    const route = this.catalog.route(String.fromCharCode(1 + this.random.int(254)));
    const plan = this.catalog.plan({
      kind: 'createMove',
      expectedVersion: this.catalog.version,
      routeId: route.id,
      start: route.start,
      dst: group(1 + this.random.int(GROUPS)),
    });
    if (!(plan instanceof CatalogError)) this.catalog.commit(plan);
  }

  private splitOrMerge(): void {
    const key = String.fromCharCode(2 + this.random.int(253));
    const { id, start } = this.catalog.route(key);
    const expectedVersion = this.catalog.version;
    const leftId = this.catalog.state.routes.before(start)?.id ?? 0;
    const plan = this.catalog.plan(
      this.random.int(2) === 0
        ? { kind: 'split', expectedVersion, routeId: id, splitKey: bytes(key), splitAtTs: hlcTimestamp(1n) }
        : { kind: 'merge', expectedVersion, leftId, rightId: id, boundary: start },
    );
    if (!(plan instanceof CatalogError)) this.catalog.commit(plan);
  }

  private change(op: JobOp): void {
    const plan = this.catalog.plan(op);
    if (!(plan instanceof CatalogError)) this.catalog.commit(plan);
  }

  private to(job: JobRow, phase: JobRow['phase'], rest: Partial<TransitionJobOp> = {}): void {
    this.change({ kind: 'transitionJob', jobId: job.id, expectedRevision: job.revision, phase, ...rest });
  }

  /** One step of a driver that believes that `job` is the job's row; see docs/design/control-plane/catalog.md for the phases. */
  private drive(job: JobRow | undefined): void {
    if (job === undefined) return;
    if (this.random.int(4) === 0) this.beliefs.push(job);
    if (this.trouble > 0 && isAbortable(job.phase) && this.random.int(20) === 0) {
      this.to(job, 'ABORTING');
      return;
    }
    const { id, src, dst, attempt, start, end } = job;
    switch (job.phase) {
      case 'PLANNED':
        this.to(job, 'PREP_TARGET');
        break;
      case 'PREP_TARGET': {
        const outcome = this.send(dst, { kind: 'incoming', job: id, attempt, start, end });
        if (outcome?.kind === 'done') this.to(job, 'ARM_SOURCE');
        break;
      }
      case 'ARM_SOURCE': {
        const outcome = this.send(src, { kind: 'captureOn', job: id, start, end });
        if (outcome?.kind === 'done') this.to(job, 'BACKFILL');
        break;
      }
      case 'BACKFILL':
        if (this.trouble > 0 && this.random.int(10) === 0) this.to(job, 'PREP_TARGET', { attempt: attempt + 1 });
        else this.to(job, 'CATCH_UP');
        break;
      case 'CATCH_UP': {
        const outcome = this.send(src, { kind: 'unfence', job: id, attempt: attempt - 1 });
        if (outcome?.kind === 'done') this.to(job, 'FENCE');
        break;
      }
      case 'FENCE': {
        if (this.trouble > 0 && this.random.int(6) === 0) {
          this.to(job, 'CATCH_UP', { attempt: attempt + 1 });
          break;
        }
        const outcome = this.send(src, { kind: 'fence', job: id, attempt });
        if (outcome?.kind !== 'done') break;
        // Nothing is written from here on, unless the fence is lifted; then the release must not succeed.
        this.copies.set(id, new Map([...this.values.get(src)!].filter(([key]) => isIn(key, job))));
        this.to(job, 'RELEASE');
        break;
      }
      case 'RELEASE': {
        const fenceTs = hlcTimestamp(this.clock++);
        const outcome = this.send(src, { kind: 'release', job: id, attempt, dst, fenceTs });
        if (outcome?.kind !== 'done') break;
        const { minWriteTs, epoch } = outcome.span!;
        this.to(job, 'ACTIVATE', { fenceTs: minWriteTs, spanEpoch: epoch });
        break;
      }
      case 'ACTIVATE': {
        const outcome = this.send(dst, { kind: 'activate', job: id, floor: job.fenceTs, epoch: job.spanEpoch });
        if (outcome?.kind === 'done') this.to(job, 'PUBLISH');
        break;
      }
      case 'PUBLISH':
        this.change({ kind: 'setGroup', jobId: id, expectedRevision: job.revision });
        break;
      case 'CLEANUP':
        if (this.send(src, { kind: 'purge', job: id })?.kind === 'done') this.to(job, 'DONE');
        break;
      case 'ABORTING': {
        const undone = [
          this.send(src, { kind: 'unfence', job: id, attempt }),
          this.send(src, { kind: 'captureOff', job: id }),
          this.send(dst, { kind: 'drop', job: id }),
        ];
        if (undone.every((outcome) => outcome?.kind === 'done')) this.to(job, 'ABORTED');
        break;
      }
      case 'DONE':
      case 'ABORTED':
        break;
    }
  }

  /** The network heals and the drivers finish what there is; late commands come in after all. */
  settle(): void {
    this.trouble = 0;
    for (let left = 1000; this.catalog.state.jobs.size > 0; left--) {
      assert.ok(left > 0, `jobs are stuck: ${[...this.catalog.state.jobs.values()].map((job) => job.phase).join()}`);
      for (const job of this.catalog.state.jobs.values()) {
        this.drive(job);
        // A range whose earlier cleanup was never heard of, or that somebody else blocks: give up.
        if (left < 500 && isAbortable(this.catalog.state.jobs.get(job.id)?.phase ?? 'DONE')) {
          this.to(this.catalog.state.jobs.get(job.id)!, 'ABORTING');
        }
      }
    }
    for (const sent of this.inFlight) this.deliver(sent);
    this.checkValues();
  }
}

const isIn = (key: string, range: { readonly start: Buffer; readonly end: Buffer | undefined }): boolean =>
  Buffer.compare(range.start, bytes(key)) <= 0 && isBelow(bytes(key), range.end);
