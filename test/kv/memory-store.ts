/** A `GroupStore` in plain maps, for tests and benchmarks of the layer above: every version is kept, nothing is on disk. */
import { createHash } from 'node:crypto';
import { assert, type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../src/platform/index.ts';
import type {
  ExportedVersion,
  ExportPage,
  ExportRequest,
  ExportSidesRequest,
  GroupStore,
  LatestVersion,
  SidePage,
  SideRow,
  StoreImport,
  StoreRow,
  StoreScanPage,
  StoreScanRequest,
  StoreWriter,
} from '../../src/store/contract/types.ts';
import type { MetaOf, StoreCut } from '../../src/store/segments/cut.ts';
import { type CopyFacts, manifestOf, type SegmentEntry } from '../../src/store/segments/manifest.ts';

interface Version extends LatestVersion {
  readonly key: Buffer;
}

interface Image {
  versions: Map<string, Version[]>;
  meta: Map<string, Buffer>;
  sides: Map<string, SideRow>;
  appliedIndex: LogIndex;
  gcThreshold: HlcTimestamp;
}

interface HeldDrop {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly settled: Promise<void>;
  readonly carryOut: () => void;
}

const isWithin = (key: Buffer, start: Buffer, end: Buffer | undefined): boolean =>
  Buffer.compare(key, start) >= 0 && (end === undefined || Buffer.compare(key, end) < 0);

const NO_BYTES = Buffer.alloc(0);
const sideName = (key: Buffer, name: Buffer): string => `${key.toString('hex')} ${name.toString('hex')}`;
const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));

export class MemoryStore implements GroupStore {
  private image: Image = {
    versions: new Map(),
    meta: new Map(),
    sides: new Map(),
    appliedIndex: 0,
    gcThreshold: hlcTimestamp(0n),
  };
  durableIndex: LogIndex = 0;
  /** Set to make `pressure` report a full buffer. */
  pressurePromise: Promise<void> | undefined;
  collectedSlices = 0;
  expiredCalls = 0;
  private isWriting = false;
  /** Set to leave dropped ranges where they are until `carryOutDrops`. */
  holdDrops = false;
  private heldDrops: HeldDrop[] = [];

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
    const last = this.image.versions.get(key.toString('latin1'))?.at(-1);
    return last?.isTombstone === true && last.commitTs <= this.image.gcThreshold ? undefined : last;
  }

  async versionAt(key: Buffer, commitTs: HlcTimestamp): Promise<LatestVersion | undefined> {
    return this.image.versions.get(key.toString('latin1'))?.find((one) => one.commitTs === commitTs);
  }

  side(key: Buffer, name: Buffer): Buffer | undefined {
    return this.image.sides.get(sideName(key, name))?.value;
  }

  *residentSides(): Iterable<SideRow> {
    for (const row of this.image.sides.values()) if (row.name[0]! < 0x80) yield row;
  }

  async exportSides({ start, end, from, maxBytes }: ExportSidesRequest): Promise<SidePage> {
    const sides: SideRow[] = [];
    let bytes = 0;
    for (const place of [...this.image.sides.keys()].sort(order)) {
      const row = this.image.sides.get(place)!;
      if (!isWithin(row.key, start, end) || (from !== undefined && order(place, from.toString('latin1')) < 0)) continue;
      if (bytes >= maxBytes) return { sides, next: Buffer.from(place, 'latin1') };
      sides.push(row);
      bytes += place.length + row.value.length;
    }
    return { sides, next: undefined };
  }

  /** Histories in key order. */
  private histories(start: Buffer, end: Buffer | undefined): Version[][] {
    return [...this.image.versions.values()]
      .filter((versions) => isWithin(versions[0]!.key, start, end))
      .sort(([a], [b]) => Buffer.compare(a!.key, b!.key));
  }

  async exportVersions({ start, end, after, maxBytes }: ExportRequest): Promise<ExportPage> {
    const versions: ExportedVersion[] = [];
    let bytes = 0;
    for (const history of this.histories(start, end)) {
      // A read at the threshold needs the newest version below it, unless that says "nothing".
      const base = history.findLastIndex(({ commitTs }) => commitTs <= this.gcThreshold);
      const first = base < 0 ? 0 : history[base]!.isTombstone ? base + 1 : base;
      for (const { key, commitTs, expireTs, value, isTombstone } of history.slice(first)) {
        if (after !== undefined && key.equals(start) && commitTs <= after) continue;
        if (versions.length > 0 && bytes >= maxBytes) {
          const last = versions.at(-1)!;
          return { versions, next: { start: last.key, after: last.commitTs } };
        }
        versions.push({ key, commitTs, expireTs, value: isTombstone ? undefined : value });
        bytes += key.length + value.length;
      }
    }
    return { versions, next: undefined };
  }

  dropping(start: Buffer, end: Buffer | undefined): Promise<void> | undefined {
    return this.heldDrops.find(
      (drop) =>
        (end === undefined || Buffer.compare(drop.start, end) < 0) &&
        (drop.end === undefined || Buffer.compare(start, drop.end) < 0),
    )?.settled;
  }

  /** Lets the drops happen that were held back. */
  carryOutDrops(): void {
    for (const drop of this.heldDrops.splice(0)) drop.carryOut();
  }

  private drop(start: Buffer, end: Buffer | undefined): void {
    const forget = (): void => {
      for (const [{ key }] of this.histories(start, end) as [Version][]) {
        this.image.versions.delete(key.toString('latin1'));
      }
    };
    // Nobody looks at side rows of a range that is being dropped.
    for (const [place, { key }] of this.image.sides) if (isWithin(key, start, end)) this.image.sides.delete(place);
    if (!this.holdDrops) {
      forget();
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const carryOut = (): void => {
      forget();
      resolve();
    };
    this.heldDrops.push({ start, end, settled: promise, carryOut });
  }

  async countRange(_counterClass: number, start: Buffer, end: Buffer | undefined): Promise<number> {
    return this.histories(start, end).filter((versions) => MemoryStore.isCounted(versions)).length;
  }

  /** Reserved keys are in no counter class. */
  private static isCounted(versions: readonly Version[]): boolean {
    const last = versions.at(-1)!;
    return !last.isTombstone && last.key[0] !== 0;
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
      dropRange: (start, end) => {
        changes.push(() => this.drop(start, end));
      },
      setSide: (key, name, value) => {
        changes.push(() => {
          if (value === undefined) image.sides.delete(sideName(key, name));
          else image.sides.set(sideName(key, name), { key, name, value });
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
    for (const versions of this.image.versions.values()) if (MemoryStore.isCounted(versions)) count++;
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
        sides: [...this.image.sides.keys()]
          .sort(order)
          .map((place) => [place, this.image.sides.get(place)!.value.toString('hex')]),
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

  async exportSegments(describe: (meta: MetaOf, appliedIndex: LogIndex) => CopyFacts): Promise<StoreCut> {
    const bytes = this.serialize();
    const { meta } = this.image;
    const segment: SegmentEntry = {
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
      rows: 1,
      rawBytes: bytes.length,
      first: '00',
      last: 'ff',
    };
    return {
      manifest: manifestOf(
        this.appliedIndex,
        describe((name) => meta.get(name), this.appliedIndex),
        [segment],
      ),
      pathOf: () => 'memory',
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
      missing: [0],
      receive: async (_at, pieces) => {
        for await (const frame of pieces) frames.push(frame);
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
        const sides = new Map<string, SideRow>();
        for (const [place, value] of parsed.sides as [string, string][]) {
          const [key, name] = place.split(' ').map((part) => Buffer.from(part, 'hex')) as [Buffer, Buffer];
          sides.set(place, { key, name, value: Buffer.from(value, 'hex') });
        }
        staged = {
          versions,
          meta,
          sides,
          appliedIndex: parsed.appliedIndex,
          gcThreshold: hlcTimestamp(BigInt(parsed.gcThreshold)),
        };
        return { appliedIndex: staged.appliedIndex, meta: (name: string) => meta.get(name) };
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
