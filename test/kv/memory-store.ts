/** A `GroupStore` in plain maps, for tests and benchmarks of the layer above: every version is kept, nothing is on disk. */
import { createHash } from 'node:crypto';
import { assert, type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../src/platform/index.ts';
import type {
  GroupStore,
  LatestVersion,
  StoreImport,
  StoreRow,
  StoreScanPage,
  StoreScanRequest,
  StoreWriter,
} from '../../src/store/index.ts';

interface Version extends LatestVersion {
  readonly key: Buffer;
}

interface Image {
  versions: Map<string, Version[]>;
  meta: Map<string, Buffer>;
  appliedIndex: LogIndex;
  gcThreshold: HlcTimestamp;
}

const NO_BYTES = Buffer.alloc(0);
const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));

export class MemoryStore implements GroupStore {
  private image: Image = { versions: new Map(), meta: new Map(), appliedIndex: 0, gcThreshold: hlcTimestamp(0n) };
  durableIndex: LogIndex = 0;
  /** Set to make `pressure` report a full buffer. */
  pressurePromise: Promise<void> | undefined;
  collectedSlices = 0;
  expiredCalls = 0;
  private isWriting = false;

  get appliedIndex(): LogIndex {
    return this.image.appliedIndex;
  }

  get gcThreshold(): HlcTimestamp {
    return this.image.gcThreshold;
  }

  meta(name: string): Buffer | undefined {
    return this.image.meta.get(name);
  }

  latest(key: Buffer): LatestVersion | undefined {
    return this.image.versions.get(key.toString('latin1'))?.at(-1);
  }

  async get(key: Buffer, readTs: HlcTimestamp): Promise<StoreRow | undefined> {
    return this.at(key, readTs);
  }

  private at(key: Buffer, readTs: HlcTimestamp): StoreRow | undefined {
    const version = this.image.versions.get(key.toString('latin1'))?.findLast((one) => one.commitTs <= readTs);
    if (version === undefined || version.isTombstone) return undefined;
    return version.expireTs !== 0n && version.expireTs <= readTs ? undefined : version;
  }

  async scan(request: StoreScanRequest): Promise<StoreScanPage> {
    const rows: StoreRow[] = [];
    for (const name of [...this.image.versions.keys()].sort(order)) {
      const key = Buffer.from(name, 'latin1');
      if (Buffer.compare(key, request.start) < 0 || Buffer.compare(key, request.end) >= 0) continue;
      const row = this.at(key, request.readTs);
      if (row === undefined) continue;
      if (rows.length === request.limit) return { rows, next: key };
      rows.push({ key, value: row.value, commitTs: row.commitTs, expireTs: row.expireTs });
    }
    return { rows, next: undefined };
  }

  write(): StoreWriter {
    assert(!this.isWriting, 'one unit at a time');
    this.isWriting = true;
    const image = this.image;
    const changes: (() => void)[] = [];
    const add = (key: Buffer, version: Omit<Version, 'key'>): void => {
      const name = key.toString('latin1');
      let versions = image.versions.get(name);
      if (versions === undefined) {
        versions = [];
        image.versions.set(name, versions);
      }
      const last = versions.at(-1);
      assert(last === undefined || last.commitTs < version.commitTs, 'versions of a key rise');
      versions.push({ ...version, key });
    };
    const zero = hlcTimestamp(0n);
    return {
      put: (key, value, commitTs, expireTs) => {
        changes.push(() => add(key, { value, commitTs, expireTs, isTombstone: false }));
      },
      delete: (key, commitTs) => {
        changes.push(() => add(key, { value: NO_BYTES, commitTs, expireTs: zero, isTombstone: true }));
      },
      deleteRange: (start, end, commitTs) => {
        changes.push(() => {
          for (const versions of image.versions.values()) {
            const last = versions.at(-1)!;
            const isInside = Buffer.compare(last.key, start) >= 0 && Buffer.compare(last.key, end) < 0;
            if (isInside && !last.isTombstone && last.commitTs <= commitTs) {
              versions.push({ key: last.key, value: NO_BYTES, commitTs, expireTs: zero, isTombstone: true });
            }
          }
        });
      },
      setMeta: (name, value) => {
        changes.push(() => image.meta.set(name, value));
      },
      commit: (index) => {
        // Range deletes carry the timestamp below the unit's own, so they go first whatever the order of the calls.
        for (const change of changes) change();
        image.appliedIndex = index;
        this.isWriting = false;
      },
    };
  }

  pressure(): Promise<void> | undefined {
    return this.pressurePromise;
  }

  async flush(): Promise<void> {
    this.durableIndex = this.appliedIndex;
  }

  liveKeys(): number {
    let count = 0;
    for (const versions of this.image.versions.values()) if (!versions.at(-1)!.isTombstone) count++;
    return count;
  }

  async settleCounters(): Promise<void> {}

  async expired(atTs: HlcTimestamp, limit: number): Promise<{ key: Buffer; commitTs: HlcTimestamp }[]> {
    this.expiredCalls++;
    const found: { key: Buffer; commitTs: HlcTimestamp }[] = [];
    for (const versions of this.image.versions.values()) {
      const last = versions.at(-1)!;
      if (found.length < limit && last.expireTs !== 0n && last.expireTs <= atTs) {
        found.push({ key: last.key, commitTs: last.commitTs });
      }
    }
    return found;
  }

  setGcThreshold(_writer: StoreWriter, threshold: HlcTimestamp): void {
    this.image.gcThreshold = threshold;
  }

  async collectGarbage(): Promise<boolean> {
    this.collectedSlices++;
    return this.collectedSlices % 3 === 0;
  }

  private serialize(): Buffer {
    const rows = [...this.image.versions.entries()].sort(([a], [b]) => order(a, b));
    const text = JSON.stringify(
      {
        rows: rows.map(([name, versions]) => [
          name,
          versions.map((one) => [one.commitTs, one.isTombstone, one.expireTs, one.value.toString('latin1')]),
        ]),
        meta: [...this.image.meta.entries()]
          .sort(([a], [b]) => order(a, b))
          .map(([name, value]) => [name, value.toString('hex')]),
        appliedIndex: this.image.appliedIndex,
        gcThreshold: this.image.gcThreshold,
      },
      (_name, value) => (typeof value === 'bigint' ? value.toString() : value),
    );
    return Buffer.from(text);
  }

  async digest(): Promise<string> {
    return createHash('sha256').update(this.serialize()).digest('hex');
  }

  async exportFrames(): Promise<{ appliedIndex: LogIndex; frames(): AsyncIterable<Buffer>; close(): Promise<void> }> {
    const bytes = this.serialize();
    return {
      appliedIndex: this.appliedIndex,
      async *frames() {
        for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
      },
      close: async () => undefined,
    };
  }

  async stageImport(): Promise<StoreImport> {
    const frames: Buffer[] = [];
    let staged: Image | undefined;
    return {
      write: async (frame) => {
        frames.push(frame);
      },
      finish: async () => {
        const parsed = JSON.parse(Buffer.concat(frames).toString());
        const versions = new Map<string, Version[]>();
        for (const [name, list] of parsed.rows as [string, [string, boolean, string, string][]][]) {
          const key = Buffer.from(name, 'latin1');
          versions.set(
            name,
            list.map(([commitTs, isTombstone, expireTs, value]) => ({
              key,
              commitTs: hlcTimestamp(BigInt(commitTs)),
              isTombstone,
              expireTs: hlcTimestamp(BigInt(expireTs)),
              value: Buffer.from(value, 'latin1'),
            })),
          );
        }
        const meta = new Map<string, Buffer>();
        for (const [name, value] of parsed.meta as [string, string][]) meta.set(name, Buffer.from(value, 'hex'));
        staged = {
          versions,
          meta,
          appliedIndex: parsed.appliedIndex,
          gcThreshold: hlcTimestamp(BigInt(parsed.gcThreshold)),
        };
        return staged.appliedIndex;
      },
      install: async () => {
        this.image = staged!;
        this.durableIndex = this.image.appliedIndex;
      },
      discard: async () => undefined,
    };
  }

  async close(): Promise<void> {}
}
