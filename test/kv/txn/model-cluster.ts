/**
 * Groups as coordinators see them, in memory and in virtual time: the contract of `TxnGroup` and nothing else. Messages are late,
 * lost, doubled and overtake each other; leaders change while answers are on their way; keys move with their locks; clocks of
 * groups differ; coordinators stop in the middle. All of it as a seed decides.
 */

import { isOlder } from '../../../src/kv/apply/txn-state.ts';
import { LeaderUnavailableError, LockedError, NotOwnerError, RangeBusyError } from '../../../src/kv/contract/errors.ts';
import type {
  CommitReply,
  CommitRequest,
  FinishRequest,
  LockFacts,
  PrepareReply,
  PrepareRequest,
  PushReply,
  StatusReply,
  TxnClient,
  TxnIdentity,
  TxnReadReply,
  TxnReadRequest,
  TxnStatus,
  Verdict,
} from '../../../src/kv/contract/txn.ts';
import type { LiveValue } from '../../../src/kv/contract/view.ts';
import type { CoordinatorParts, GrantedTimestamp } from '../../../src/kv/txn/coordinator-types.ts';
import { LockResolver } from '../../../src/kv/txn/resolver.ts';
import { assert } from '../../../src/platform/assert.ts';
import {
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  laterBy,
  NEVER,
  type Scheduler,
  timestampOfMs,
} from '../../../src/platform/index.ts';
import type { SeededRandom } from '../../../src/platform/random.ts';
import { Simulation } from '../../../src/platform/simulated/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';

/** Chances of faults, each of one message. */
export interface Faults {
  readonly loss: number;
  /** That a question of which nobody knows whether it was lost was not: it arrives long after it was given up. */
  readonly returning: number;
  readonly doubling: number;
  /** That a message takes up to a second. */
  readonly lateness: number;
  /** That a coordinator stops at a message it sends or an answer it gets. */
  readonly crash: number;
  /** Moves of one key a second. */
  readonly movesPerSecond: number;
}

export const NO_FAULTS: Faults = { loss: 0, returning: 0, doubling: 0, lateness: 0, crash: 0, movesPerSecond: 0 };

/** What is taken out on purpose, to see that somebody notices. */
export interface Removed {
  /** A transaction without record and lock is called rolled back without writing that down. */
  readonly statusRecord?: boolean;
  /** Reads do not wait for locks. */
  readonly readsWait?: boolean;
  /** Expectations of keys that are only read are not looked at. */
  readonly readLocks?: boolean;
  /** A commit in one phase that was refused leaves no record of that. */
  readonly refusalRecord?: boolean;
  /** Keys that are not there look alike, whenever they were written last. */
  readonly absences?: boolean;
  /** Writes of a snapshot look at values only, so that what has come and gone since is missed. */
  readonly deletesCount?: boolean;
  /** Entries need not be above the snapshot that their writes come from. */
  readonly aboveSnapshot?: boolean;
}

interface Lock extends LockFacts {
  deadlineTs: HlcTimestamp;
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
}

interface Row {
  readonly key: Buffer;
  /** Ascending by `commitTs`. */
  readonly versions: { readonly commitTs: HlcTimestamp; readonly value: Buffer | undefined }[];
  locks: Lock[];
  readonly statuses: Map<string, TxnStatus>;
}

const WAIT = Symbol('a lock is in the way');
const ROLLED_BACK: TxnStatus = { kind: 'rolledBack' };
const LOCK_WAIT_MS = 1000;

/** A coordinator's process: when its life is over nothing of it goes on. */
export interface Process {
  readonly name: string;
  life: number;
  readonly pausedUntilMs: number;
}

export const startProcess = (name: string): Process => ({ name, life: 0, pausedUntilMs: 0 });

export class ModelCluster {
  readonly simulation: Simulation;
  readonly random: SeededRandom;
  readonly groups: readonly GroupId[];
  faults: Faults;
  readonly removed: Removed;
  readonly problems: string[] = [];
  crashes = 0;
  private readonly rows = new Map<string, Row>();
  private readonly owners = new Map<string, GroupId>();
  /** What coordinators believe; follows some time after a move. */
  private readonly directory = new Map<string, GroupId>();
  private readonly lastTs = new Map<GroupId, bigint>();
  private readonly skewMs = new Map<GroupId, number>();
  private oracleTs = 0n;
  private readonly resolver: LockResolver;

  constructor(seed: number, faults: Faults, removed: Removed = {}, groupCount = 3) {
    this.simulation = new Simulation({ seed });
    this.random = this.simulation.random.fork(7);
    this.faults = faults;
    this.removed = removed;
    this.groups = Array.from({ length: groupCount }, (_, nth) => groupId(nth + 2));
    for (const group of this.groups) this.skewMs.set(group, this.random.int(4000) - 2000);
    const home = startProcess('resolver');
    this.resolver = new LockResolver({
      client: this.clientOf(home, false),
      kv: { groupOf: (key) => this.known(key) },
      led: () =>
        this.groups.map((group) => ({
          group,
          txns: {
            expiredLocks: (limit) => this.expired(group, limit),
            resolve: (verdicts) => this.ask(home, group, () => this.resolve(group, verdicts), false),
          },
        })),
      clock: this.clock,
      scheduler: this.schedulerOf(home),
      random: this.random,
      onError: (error) => this.background(error),
    });
    this.resolver.start();
    this.scheduleMove();
  }

  readonly clock = {
    nowMs: () => 1_700_000_000_000 + Math.floor(this.simulation.nowMs()),
    monotonicMs: () => this.simulation.nowMs(),
  };

  private background(error: unknown): void {
    // What was left to the resolver is no problem; a lost lock is.
    if (error instanceof Error && (error.name === 'LostLockError' || error.name === 'ForgottenStatusError')) {
      this.problems.push(error.message);
    }
  }

  /** Everything that a coordinator needs. */
  partsOf(process: Process): CoordinatorParts {
    return {
      client: this.clientOf(process, true),
      kv: {
        groupOf: (key) => this.known(key),
        stretchAt: (key) => ({ group: this.known(key), end: undefined }),
        nowTs: () => timestampOfMs(this.clock.nowMs()),
      },
      timestamps: {
        timestamp: (after) => this.ask(process, undefined, () => this.grant(after), true) as Promise<GrantedTimestamp>,
      },
      // Of the groups' clocks; asking them takes no time and never fails.
      drawMoment: async () => {
        let ts = NEVER;
        for (const group of this.groups) {
          const drawn = this.groupTs(group);
          if (drawn > ts) ts = drawn;
        }
        return { ts, covered: new Set(this.groups) };
      },
      clock: this.clock,
      scheduler: this.schedulerOf(process),
      random: this.random,
      onError: (error) => this.background(error),
    };
  }

  private schedulerOf(owner: Process): Scheduler {
    const run = (delayMs: number, callback: () => void) => this.simulation.schedule(delayMs, 'timer', callback, owner);
    return {
      after: (delayMs, callback) => run(Math.max(0, delayMs), callback),
      endOfTurn: (callback) => void run(0, callback),
      nextTurn: (callback) => void run(0, callback),
    };
  }

  // ---- time and place

  private grant(after: HlcTimestamp = NEVER): GrantedTimestamp {
    const wall = BigInt(this.clock.nowMs()) << 16n;
    const floor = after > this.oracleTs ? after : this.oracleTs;
    this.oracleTs = wall > floor ? wall : floor + 1n;
    return { ts: hlcTimestamp(this.oracleTs), epoch: 1 };
  }

  private groupTs(group: GroupId): HlcTimestamp {
    const wall = BigInt(this.clock.nowMs() + this.skewMs.get(group)!) << 16n;
    const last = this.lastTs.get(group) ?? 0n;
    const next = wall > last ? wall : last + 1n;
    this.lastTs.set(group, next);
    return hlcTimestamp(next);
  }

  private observe(group: GroupId, ts: HlcTimestamp): void {
    if (ts > (this.lastTs.get(group) ?? 0n)) this.lastTs.set(group, ts);
  }

  private home(key: Buffer): GroupId {
    return this.groups[key[0]! % this.groups.length]!;
  }

  known(key: Buffer): GroupId {
    return this.directory.get(key.toString('latin1')) ?? this.home(key);
  }

  owner(key: Buffer): GroupId {
    return this.owners.get(key.toString('latin1')) ?? this.home(key);
  }

  /** Gives a key to another group, with everything that is at it; coordinators hear of it later. */
  move(key: Buffer, group: GroupId): void {
    const name = key.toString('latin1');
    this.observe(group, hlcTimestamp(this.lastTs.get(this.owner(key)) ?? 0n));
    this.owners.set(name, group);
    this.simulation.schedule(this.random.int(200), 'directory', () => this.directory.set(name, group));
  }

  private scheduleMove(): void {
    if (this.faults.movesPerSecond === 0) return;
    this.simulation.schedule(this.random.int(2000 / this.faults.movesPerSecond), 'move', () => {
      const rows = [...this.rows.values()];
      if (rows.length > 0) {
        this.move(rows[this.random.int(rows.length)]!.key, this.groups[this.random.int(this.groups.length)]!);
      }
      this.scheduleMove();
    });
  }

  private admit(group: GroupId, keys: readonly Buffer[]): void {
    if (this.faults.movesPerSecond > 0 && this.random.next() < 0.01) throw new RangeBusyError('a move is under way');
    for (const key of keys) {
      const owner = this.owner(key);
      if (owner !== group) throw new NotOwnerError(this.random.int(2) === 0 ? owner : undefined);
    }
  }

  private row(key: Buffer): Row {
    const name = key.toString('latin1');
    let row = this.rows.get(name);
    if (row === undefined) {
      row = { key: Buffer.from(key), versions: [], locks: [], statuses: new Map() };
      this.rows.set(name, row);
    }
    return row;
  }

  // ---- messages

  private delayMs(): number {
    return this.random.next() < this.faults.lateness ? this.random.int(1000) : 0.2 + this.random.next() * 3;
  }

  private stopsHere(process: Process): boolean {
    if (this.faults.crash === 0 || this.random.next() >= this.faults.crash) return false;
    process.life++;
    this.crashes++;
    return true;
  }

  /** Carries one question there and its answer back, or does not. */
  private ask<T>(
    process: Process,
    group: GroupId | undefined,
    work: (waitedMs: number) => T | typeof WAIT,
    mayCrash: boolean,
  ): Promise<T> {
    const { simulation, random } = this;
    return new Promise((resolve, reject) => {
      if (mayCrash && this.stopsHere(process)) return;
      const isLocal = group === undefined;
      const life = process.life;
      const answer = (settle: () => void): void => {
        const back = this.delayMs();
        if (!isLocal && random.next() < this.faults.loss) {
          simulation.schedule(back + 500, 'lost answer', () => reject(new OutcomeUnknownError('lost')), process);
          return;
        }
        simulation.schedule(
          back,
          'answer',
          () => {
            if (!mayCrash || process.life !== life || !this.stopsHere(process)) settle();
          },
          process,
        );
      };
      const arrive = (sinceMs: number): void => {
        let done: T | typeof WAIT;
        try {
          done = work(simulation.nowMs() - sinceMs);
        } catch (error) {
          answer(() => reject(error));
          return;
        }
        if (done === WAIT) simulation.schedule(5, 'waiting', () => arrive(sinceMs));
        else {
          const reply = done;
          answer(() => resolve(reply as T));
        }
      };
      const unawaited = (): void => {
        try {
          work(LOCK_WAIT_MS);
        } catch {
          // Nobody waits for the answer.
        }
      };
      if (!isLocal && random.next() < this.faults.loss) {
        const isUnknown = random.int(2) === 0;
        if (isUnknown && this.faults.returning > 0 && random.next() < this.faults.returning) {
          simulation.schedule(600 + random.int(3000), 'lost question returns', unawaited);
        }
        const error = isUnknown ? new OutcomeUnknownError('lost') : new LeaderUnavailableError('lost');
        simulation.schedule(500, 'lost question', () => reject(error), process);
        return;
      }
      if (!isLocal && random.next() < this.faults.doubling) {
        simulation.schedule(random.int(3000), 'double', unawaited);
      }
      simulation.schedule(this.delayMs(), 'question', () => arrive(simulation.nowMs()));
    });
  }

  private clientOf(process: Process, mayCrash: boolean): TxnClient {
    const ask = <T>(group: GroupId, work: (waitedMs: number) => T | typeof WAIT) =>
      this.ask(process, group, work, mayCrash);
    return {
      read: (group, request) => ask(group, (waitedMs) => this.read(group, request, waitedMs)),
      scan: () => Promise.reject(new Error('the model has no scans')),
      prepare: (group, request) => ask(group, (waitedMs) => this.prepare(group, request, false, waitedMs)),
      commitOnePhase: (group, request) => ask(group, (waitedMs) => this.prepare(group, request, true, waitedMs)),
      lockRange: () => Promise.reject(new Error('the model has no ranges')),
      commit: (group, request) => ask(group, () => this.commit(group, request)),
      abort: (group, request) => ask(group, () => this.abort(group, request)),
      status: (group, txn) => ask(group, () => this.status(group, txn)),
      push: (group, txn, lockTtlMs) => ask(group, () => this.push(group, txn, lockTtlMs)),
      resolve: (group, verdicts) => ask(group, () => this.resolve(group, verdicts)),
    };
  }

  // ---- the groups

  private met(group: GroupId, lock: Lock, waitedMs: number): void {
    if (waitedMs >= 20) this.resolver.onLockMet(group, lock);
  }

  private live(row: Row, at?: HlcTimestamp): LiveValue | undefined {
    const version = row.versions.findLast(({ commitTs }) => at === undefined || commitTs <= at);
    if (version?.value === undefined) return undefined;
    return { value: version.value, commitTs: version.commitTs, expireTs: NEVER };
  }

  private read(
    group: GroupId,
    { keys, readTs, withAbsences }: TxnReadRequest,
    waitedMs: number,
  ): TxnReadReply | typeof WAIT {
    this.admit(group, keys);
    if (readTs !== undefined) this.observe(group, readTs);
    for (const key of keys) {
      const stops = (lock: Lock) => lock.kind !== 'read' && (readTs === undefined || lock.minCommitTs <= readTs);
      const lock = this.removed.readsWait === true ? undefined : this.row(key).locks.find(stops);
      if (lock === undefined) continue;
      if (waitedMs >= LOCK_WAIT_MS) throw new LockedError(lock);
      this.met(group, lock, waitedMs);
      return WAIT;
    }
    const seenTs = readTs ?? this.groupTs(group);
    const rows = keys.map((key) => this.live(this.row(key), readTs));
    if (withAbsences !== true) return { rows, seenTs };
    const absences = keys.map((key, at) => {
      const writtenTs = this.removed.absences === true ? NEVER : (this.row(key).versions.at(-1)?.commitTs ?? NEVER);
      return rows[at] === undefined ? { deletedTs: writtenTs, writtenTs } : undefined;
    });
    return { rows, absences: { keys: absences, collectedTs: NEVER }, seenTs };
  }

  private prepare(
    group: GroupId,
    request: PrepareRequest,
    isOnePhase: boolean,
    waitedMs: number,
  ): PrepareReply | typeof WAIT {
    const { txnId, startTs, primary, keys, lockTtlMs } = request;
    this.admit(
      group,
      keys.map(({ key }) => key),
    );
    const id = txnId.toString('hex');
    for (const { key } of [{ key: primary }, ...keys]) {
      const status = this.owner(key) === group ? this.row(key).statuses.get(id) : undefined;
      if (status !== undefined) return status;
    }
    for (const { key, kind } of keys) {
      const other = this.row(key).locks.find(
        (lock) => !lock.txnId.equals(txnId) && (kind !== 'read' || lock.kind !== 'read'),
      );
      if (other === undefined) continue;
      this.met(group, other, waitedMs + 20);
      if (isOlder(request, other) && waitedMs < LOCK_WAIT_MS) return WAIT;
      return this.refuse(request, isOnePhase, { kind: 'locked', lock: other });
    }
    for (const { key, notAboveTs } of keys) {
      if (notAboveTs === undefined) continue;
      if (this.removed.aboveSnapshot !== true) this.observe(group, notAboveTs);
      const row = this.row(key);
      if (row.locks.some((lock) => lock.txnId.equals(txnId))) continue;
      const newest = this.removed.deletesCount === true ? this.live(row) : row.versions.at(-1);
      if ((newest?.commitTs ?? NEVER) > notAboveTs) return this.refuse(request, isOnePhase, { kind: 'changed', key });
    }
    for (const { key, kind, expected } of keys) {
      const row = this.row(key);
      if (expected === undefined || row.locks.some((lock) => lock.txnId.equals(txnId))) continue;
      if (kind === 'read' && this.removed.readLocks === true) continue;
      if ((this.live(row)?.commitTs ?? NEVER) !== expected) {
        return this.refuse(request, isOnePhase, { kind: 'changed', key });
      }
    }
    const ts = this.groupTs(group);
    if (isOnePhase) {
      const status: TxnStatus = { kind: 'committed', commitTs: ts };
      for (const { key, kind, value } of keys) {
        if (kind !== 'read') this.write(group, this.row(key), ts, kind === 'put' ? value : undefined);
      }
      this.row(primary).statuses.set(id, status);
      return status;
    }
    let minCommitTs = ts;
    for (const { key, kind, value, expireTs } of keys) {
      const row = this.row(key);
      const own = row.locks.find((lock) => lock.txnId.equals(txnId));
      if (own !== undefined && own.minCommitTs > minCommitTs) minCommitTs = own.minCommitTs;
      if (own !== undefined || (kind === 'read' && this.removed.readLocks === true)) continue;
      row.locks.push({
        txnId,
        primary,
        startTs,
        key: row.key,
        kind,
        end: undefined,
        minCommitTs: ts,
        deadlineTs: laterBy(ts, lockTtlMs),
        value,
        expireTs,
      });
    }
    return { kind: 'prepared', minCommitTs };
  }

  /** A commit in one phase that was refused is over: the same question may come once more. */
  private refuse({ txnId, primary }: TxnIdentity, isOnePhase: boolean, reply: PrepareReply): PrepareReply {
    if (isOnePhase && this.removed.refusalRecord !== true) {
      this.row(primary).statuses.set(txnId.toString('hex'), ROLLED_BACK);
    }
    return reply;
  }

  private write(group: GroupId, row: Row, commitTs: HlcTimestamp, value: Buffer | undefined): void {
    const last = row.versions.at(-1);
    assert(last === undefined || commitTs > last.commitTs, 'versions of a key rise');
    row.versions.push({ commitTs, value });
    this.observe(group, commitTs);
  }

  private commit(group: GroupId, request: CommitRequest): CommitReply {
    const { txnId, writes, reads, commitTs } = request;
    this.admit(group, [...writes, ...reads]);
    const id = txnId.toString('hex');
    const held: [Row, Lock][] = [];
    for (const key of writes) {
      const row = this.row(key);
      const lock = row.locks.find((one) => one.txnId.equals(txnId));
      if (lock !== undefined) {
        if (commitTs < lock.minCommitTs) return { kind: 'tsTooLow', minCommitTs: lock.minCommitTs };
        held.push([row, lock]);
        continue;
      }
      const status = row.statuses.get(id);
      if (status === undefined) return { kind: 'notFound', key };
      if (status.kind === 'rolledBack' || status.commitTs !== commitTs) return status;
    }
    for (const [row, lock] of held) this.end(group, row, lock, { kind: 'committed', commitTs });
    for (const key of reads) this.row(key).locks = this.row(key).locks.filter((lock) => !lock.txnId.equals(txnId));
    return { kind: 'committed', commitTs };
  }

  private end(group: GroupId, row: Row, lock: Lock, status: TxnStatus): void {
    if (status.kind === 'committed' && lock.kind !== 'read') {
      this.write(group, row, status.commitTs, lock.kind === 'put' ? lock.value : undefined);
    }
    row.statuses.set(lock.txnId.toString('hex'), status);
    row.locks = row.locks.filter((one) => one !== lock);
  }

  private abort(group: GroupId, request: FinishRequest): TxnStatus {
    const { txnId, primary, writes, reads, isPrimary } = request;
    const keys = isPrimary ? [primary, ...writes, ...reads] : [...writes, ...reads];
    this.admit(group, keys);
    const id = txnId.toString('hex');
    for (const key of keys) {
      const status = this.row(key).statuses.get(id);
      if (status?.kind === 'committed') return status;
    }
    for (const key of keys) {
      const row = this.row(key);
      row.locks = row.locks.filter((lock) => !lock.txnId.equals(txnId));
      row.statuses.set(id, ROLLED_BACK);
    }
    return ROLLED_BACK;
  }

  private status(group: GroupId, { txnId, primary }: TxnIdentity): StatusReply {
    this.admit(group, [primary]);
    const row = this.row(primary);
    const id = txnId.toString('hex');
    const status = row.statuses.get(id);
    if (status !== undefined) return status;
    const lock = row.locks.find((one) => one.txnId.equals(txnId));
    if (lock !== undefined && lock.deadlineTs > this.groupTs(group)) {
      return { kind: 'pending', deadlineTs: lock.deadlineTs };
    }
    if (lock !== undefined) row.locks = row.locks.filter((one) => one !== lock);
    if (lock !== undefined || this.removed.statusRecord !== true) row.statuses.set(id, ROLLED_BACK);
    return ROLLED_BACK;
  }

  private push(group: GroupId, { txnId, primary }: TxnIdentity, lockTtlMs: number): PushReply {
    this.admit(group, [primary]);
    const deadlineTs = laterBy(this.groupTs(group), lockTtlMs);
    const row = this.row(primary);
    const lock = row.locks.find((one) => one.txnId.equals(txnId));
    if (lock === undefined) return row.statuses.get(txnId.toString('hex')) ?? { kind: 'notFound' };
    if (deadlineTs > lock.deadlineTs) lock.deadlineTs = deadlineTs;
    return { kind: 'pushed', deadlineTs: lock.deadlineTs };
  }

  private resolve(group: GroupId, verdicts: readonly Verdict[]): number {
    let count = 0;
    for (const { txnId, key, status } of verdicts) {
      const row = this.row(key);
      const lock = row.locks.find((one) => one.txnId.equals(txnId));
      if (lock === undefined || lock.key.equals(lock.primary) || this.owner(key) !== group) continue;
      this.end(group, row, lock, status);
      count++;
    }
    return count;
  }

  private expired(group: GroupId, limit: number): LockFacts[] {
    const nowTs = this.groupTs(group);
    return [...this.rows.values()]
      .filter(({ key }) => this.owner(key) === group)
      .flatMap(({ locks }) => locks)
      .filter(({ deadlineTs }) => deadlineTs <= nowTs)
      .slice(0, limit);
  }

  // ---- for tests

  /** Value of a key as it is, locks or not. */
  peek(key: Buffer): string | undefined {
    return this.live(this.row(key))?.value.toString();
  }

  /** Keys that are locked. */
  locked(): string[] {
    return [...this.rows.values()].filter(({ locks }) => locks.length > 0).map(({ key }) => key.toString());
  }

  /** Lets nothing go wrong from now on, and waits until nobody holds a lock. */
  async settle(): Promise<void> {
    this.faults = NO_FAULTS;
    await this.simulation.runUntil(() => this.locked().length === 0, 120_000);
  }
}
