/** Rows in memory for tests of bodies: counted, and looked at as a whole. */
import assert from 'node:assert/strict';
import {
  type BodyAccess,
  type BodyLimits,
  checkBody,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  type Rows,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { bodyOf, incarnationIn, KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { type HlcTimestamp, hlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';

/** So small that a few hundred elements make trees of several levels, and every conversion and split happens often. */
export const TINY_LIMITS: BodyLimits = {
  packedBytes: 60,
  packedElements: 8,
  pageBytes: 64,
  inlineBytes: 24,
  prefixBytes: 6,
  rosterNames: 8,
  childrenWithoutCounts: 4,
  countLevel: 2,
  rebuildAbove: 16,
  plainStringBytes: 16,
  chunkBytes: 8,
  maxChunks: 8,
};

interface Row {
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

export class MemoryRows implements Rows {
  ts = hlcTimestamp(1_000n);
  reads = 0;
  /** Keys written since `forget`, each counted once: an entry has one mutation a key. */
  readonly written = new Set<string>();
  private readonly rows = new Map<string, Row>();

  get(key: Buffer): Row | undefined {
    this.reads++;
    const row = this.rows.get(key.toString('latin1'));
    return row !== undefined && (row.expireTs === 0n || row.expireTs > this.ts) ? row : undefined;
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    const text = key.toString('latin1');
    this.written.add(text);
    this.rows.set(text, { value, expireTs, commitTs: this.ts });
  }

  delete(key: Buffer): void {
    const text = key.toString('latin1');
    this.written.add(text);
    this.rows.delete(text);
  }

  /** The same rows, which stay as they are now. */
  copy(): MemoryRows {
    const copy = new MemoryRows();
    copy.ts = this.ts;
    for (const [text, row] of this.rows) copy.rows.set(text, row);
    return copy;
  }

  forget(): void {
    this.reads = 0;
    this.written.clear();
  }

  /** Storage keys that there are, sorted. */
  keys(): Buffer[] {
    return [...this.rows.keys()].map((text) => Buffer.from(text, 'latin1')).sort(Buffer.compare);
  }

  /** Keys of rows that have expired and are still stored. */
  expired(): Buffer[] {
    return this.keys().filter((key) => {
      const { expireTs } = this.rows.get(key.toString('latin1'))!;
      return expireTs !== 0n && expireTs <= this.ts;
    });
  }

  /** Key and value of every row in hex, sorted by key. */
  dump(): string[] {
    return this.keys().map(
      (key) => `${key.toString('hex')} ${this.rows.get(key.toString('latin1'))!.value.toString('hex')}`,
    );
  }

  /** Drops rows of incarnations that their heads do not name, as a store does in time. */
  collect(): void {
    for (const key of this.keys()) {
      const body = bodyOf(key);
      if (body === undefined) continue;
      const head = this.rows.get(key.toString('latin1', 0, body.headLength));
      if (head === undefined || !incarnationIn(head.value)?.equals(body.incarnation))
        this.rows.delete(key.toString('latin1'));
    }
  }
}

export interface TestAccess extends BodyAccess {
  readonly view: MemoryRows;
}

export function accessTo(limits: BodyLimits = DEFAULT_BODY_LIMITS, seed = 1, view = new MemoryRows()): TestAccess {
  const storageKey = (userKey: Buffer): Buffer => KEYSPACES[0]!.storageKey(userKey);
  return {
    view,
    storageKey,
    random: new SeededRandom(seed),
    bodyLimits: limits,
    encodings: DEFAULT_ENCODINGS,
    mayCreateBodies: true,
    mayCreateStreams: true,
  };
}

/** Checks that all fits together, and that there is no row that nothing refers to. */
export function checkAll(
  access: TestAccess,
  userKey: Buffer,
  limits: BodyLimits | undefined = access.bodyLimits,
): void {
  const headKey = access.storageKey(userKey);
  const reached = checkBody(access.view, headKey, limits).map((key) => key.toString('latin1'));
  assert.equal(new Set(reached).size, reached.length, 'a row is reached once');
  access.view.collect();
  const stored = access.view.keys().filter((key) => bodyOf(key)?.headLength === headKey.length);
  const ofKey = stored.filter((key) => key.subarray(0, headKey.length).equals(headKey));
  assert.deepEqual(
    ofKey.map((key) => key.toString('latin1')),
    reached.sort((left, right) => Buffer.compare(Buffer.from(left, 'latin1'), Buffer.from(right, 'latin1'))),
    'every row is reached',
  );
}

export const latin1 = (bytes: Buffer): string => bytes.toString('latin1');
export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
