/**
 * Groups with ranges and versions, as an archive of changes sees them: writes, transactions, moves, splits and new groups go on while a group is
 * asked. What was committed is kept by key besides, whoever has it, so that it is known what each moment has to look like.
 */
import type { ChangedCluster, ChangesOrder, StoredChanges } from '../../../src/backup/index.ts';
import { type ChangeLog, newPartName, storeChanges } from '../../../src/backup/index.ts';
import {
  ByteRateLimit,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  KvorumError,
  type Scheduler,
  type SeededRandom,
  SystemClock,
} from '../../../src/platform/index.ts';
import type { ExportedVersion } from '../../../src/store/index.ts';
import { inlineCompression } from '../../../src/store/segments/compression.ts';

const KEYS = 24;
const NEVER = hlcTimestamp(0n);

/** Nobody waits. */
export const HASTY: Scheduler = {
  after: (_delayMs, callback) => {
    const pending = setImmediate(callback);
    return () => clearImmediate(pending);
  },
  endOfTurn: (callback) => void setImmediate(callback),
  nextTurn: (callback) => void setImmediate(callback),
};

/** Which guards are left out, to see that they are needed. */
export interface LeftOut {
  /** A part counts though its range was moved meanwhile. */
  readonly confirm?: boolean;
  /** A group is closed though a transaction is open in it. */
  readonly locks?: boolean;
  /** A leader's clock does not go past the moment. */
  readonly clock?: boolean;
}

interface ModelGroup {
  readonly id: GroupId;
  /** Numbers of keys. */
  readonly owned: Set<number>;
  readonly versions: Map<number, ExportedVersion[]>;
  /** Changes when a key of it comes or goes. */
  epoch: number;
  /** Timestamps that it gives out are above. */
  clock: bigint;
}

interface OpenTransaction {
  readonly commitTs: HlcTimestamp;
  readonly writes: ReadonlyMap<number, string | undefined>;
}

class RangesMoved extends KvorumError {
  readonly code = 'RANGES_MOVED';
  readonly disposition = 'wait';
}

export const modelKey = (at: number): Buffer => Buffer.from(`k${String(at).padStart(3, '0')}`);

/** See the top of the file. */
export class ModelCluster implements ChangedCluster {
  readonly firstKey = modelKey(0);
  readonly random: SeededRandom;
  /** Everything that was committed, by key. */
  readonly history = new Map<number, ExportedVersion[]>();
  log: ChangeLog | undefined;
  leftOut: LeftOut = {};
  /** What goes on while a group is asked. */
  busy = 1;
  private readonly all: ModelGroup[] = [];
  private open: OpenTransaction[] = [];
  private oracle = 1_000n;
  private count = 0;

  constructor(random: SeededRandom) {
    this.random = random;
    for (let id = 1; id <= 3; id++) this.newGroup();
    for (let key = 0; key < KEYS; key++) this.all[key % 2]!.owned.add(key);
  }

  async groups(): Promise<readonly GroupId[]> {
    return this.all.map(({ id }) => id);
  }

  async point(id: GroupId): Promise<HlcTimestamp> {
    this.happen();
    const group = this.groupOf(id);
    group.clock += 5n;
    return hlcTimestamp(group.clock);
  }

  async changes(id: GroupId, order: ChangesOrder): Promise<StoredChanges> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.stored(this.groupOf(id), order);
      } catch (error) {
        if (!(error instanceof RangesMoved) || attempt === 5) throw error;
      }
    }
  }

  private async stored(group: ModelGroup, order: ChangesOrder): Promise<StoredChanges> {
    const { to } = order;
    if (!this.leftOut.clock && group.clock <= to) group.clock = to + 1n;
    this.oracle = this.oracle > to ? this.oracle : to + 1n;
    // What is open at the moment is waited for.
    if (!this.leftOut.locks) {
      for (const transaction of this.open.filter(({ commitTs }) => commitTs <= to)) this.commit(transaction);
    }
    const owned = [...group.owned].sort((left, right) => left - right);
    const { epoch } = group;
    const pages = async function* (this: ModelCluster): AsyncGenerator<readonly ExportedVersion[]> {
      for (const key of owned) {
        const found = (group.versions.get(key) ?? []).filter(({ commitTs }) => commitTs > order.from && commitTs <= to);
        if (found.length > 0) yield found;
        this.happen();
      }
    }.bind(this)();
    return storeChanges({
      log: this.log!,
      group: group.id,
      order,
      changes: {
        spans: owned.map((key) => ({ start: modelKey(key), end: key + 1 === KEYS ? undefined : modelKey(key + 1) })),
        pages,
        confirm: async () => {
          if (!this.leftOut.confirm && group.epoch !== epoch) throw new RangesMoved('a range was moved');
          return { ceilingMs: Number(group.clock) };
        },
      },
      compression: inlineCompression,
      limit: new ByteRateLimit(new SystemClock(), HASTY, 1 << 30),
      random: this.random,
      signal: new AbortController().signal,
    });
  }

  /** Some of what happens in a cluster. */
  happen(times = this.random.int(this.busy + 1)): void {
    for (let at = 0; at < times; at++) {
      const chance = this.random.int(20);
      if (chance < 9) this.write(this.random.int(KEYS));
      else if (chance < 13) this.begin();
      else if (chance < 17 && this.open.length > 0) this.commit(this.open[this.random.int(this.open.length)]!);
      else if (chance < 19) this.move();
      else if (this.all.length < 6) this.newGroup();
    }
  }

  /** What a snapshot at a moment shows. */
  at(moment: HlcTimestamp): Map<string, string> {
    const found = new Map<string, string>();
    for (const [key, versions] of this.history) {
      const last = versions.findLast(({ commitTs }) => commitTs <= moment);
      if (last?.value !== undefined) found.set(modelKey(key).toString(), last.value.toString());
    }
    return found;
  }

  /** The present moment, at which every group is closed from here on. */
  async moment(): Promise<HlcTimestamp> {
    let at = hlcTimestamp(this.oracle);
    for (const { id } of this.all) {
      const point = await this.point(id);
      if (point > at) at = point;
    }
    for (const transaction of this.open.filter(({ commitTs }) => commitTs <= at)) this.commit(transaction);
    for (const group of this.all) if (group.clock <= at) group.clock = at + 1n;
    if (this.oracle <= at) this.oracle = at + 1n;
    return at;
  }

  private newGroup(): void {
    const id = groupId(this.all.length + 1);
    this.all.push({
      id,
      owned: new Set(),
      versions: new Map(),
      epoch: 0,
      clock: 1_000n + BigInt(this.random.int(500)),
    });
  }

  private groupOf(id: GroupId): ModelGroup {
    return this.all.find((group) => group.id === id)!;
  }

  private ownerOf(key: number): ModelGroup {
    return this.all.find(({ owned }) => owned.has(key))!;
  }

  private value(): string | undefined {
    this.count += 1;
    return this.random.int(5) === 0 ? undefined : `v${this.count}`;
  }

  private isLocked(key: number): boolean {
    return this.open.some(({ writes }) => writes.has(key));
  }

  private write(key: number): void {
    if (this.isLocked(key)) return;
    const owner = this.ownerOf(key);
    owner.clock += 1n;
    this.put(key, hlcTimestamp(owner.clock), this.value());
  }

  private put(key: number, commitTs: HlcTimestamp, value: string | undefined): void {
    const version = {
      key: modelKey(key),
      commitTs,
      expireTs: NEVER,
      value: value === undefined ? undefined : Buffer.from(value),
    };
    const owner = this.ownerOf(key);
    for (const versions of [owner.versions, this.history]) {
      const list = versions.get(key);
      if (list === undefined) versions.set(key, [version]);
      else list.push(version);
    }
  }

  /** Takes locks; the timestamp of the commit is known, and the versions come later. */
  private begin(): void {
    const keys = [this.random.int(KEYS), this.random.int(KEYS), this.random.int(KEYS)].filter(
      (key) => !this.isLocked(key),
    );
    if (keys.length === 0) return;
    const owners = keys.map((key) => this.ownerOf(key));
    for (const { clock } of owners) if (clock > this.oracle) this.oracle = clock;
    this.oracle += 1n;
    const commitTs = hlcTimestamp(this.oracle);
    for (const owner of owners) if (owner.clock < commitTs) owner.clock = commitTs;
    this.open.push({ commitTs, writes: new Map(keys.map((key) => [key, this.value()])) });
  }

  private commit(transaction: OpenTransaction): void {
    this.open = this.open.filter((other) => other !== transaction);
    for (const [key, value] of transaction.writes) this.put(key, transaction.commitTs, value);
  }

  /** Some keys change hands with all their versions, and are gone where they were. */
  private move(): void {
    const [from, to] = [this.all[this.random.int(this.all.length)]!, this.all[this.random.int(this.all.length)]!];
    if (from === to || from.owned.size === 0) return;
    const keys = [...from.owned].filter(() => this.random.int(2) === 0);
    for (const key of keys) {
      from.owned.delete(key);
      to.owned.add(key);
      to.versions.set(key, from.versions.get(key) ?? []);
      from.versions.delete(key);
    }
    if (to.clock < from.clock) to.clock = from.clock;
    from.epoch += 1;
  }
}

/** Of an attempt that nobody knows of any more. */
export const strayPart = (random: SeededRandom): string => newPartName('deadbeef', groupId(1), random);
