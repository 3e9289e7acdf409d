/** A state machine that keeps every payload it was given, for tests of the engine. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { LogIndex } from '../../src/platform/index.ts';
import type {
  CommittedEntry,
  LeadershipEvent,
  SnapshotReader,
  SnapshotStage,
  StateMachine,
} from '../../src/raftengine/contract/types.ts';
import type { Entry, SnapshotMeta } from '../../src/raftengine/core/types.ts';

const NOBODY = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** What survives a crash of the machine. */
export interface Durable {
  meta: SnapshotMeta;
  values: readonly string[];
  /** Segments of a snapshot that came whole, by hash. */
  readonly segments: Map<string, Buffer>;
}

export function emptyDurable(): Durable {
  return { meta: { index: 0, term: 0, conf: NOBODY }, values: [], segments: new Map() };
}

const SEGMENT_VALUES = 50;
const FRAME_BYTES = 100;

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export class ListMachine implements StateMachine {
  /** Payloads of normal entries, in the order of the log. */
  values: string[];
  readonly leadership: LeadershipEvent[] = [];
  readonly appliedIndexes: LogIndex[] = [];
  /** Set to make the machine push back. */
  pressure: Promise<void> | undefined;
  /** Entry after which the machine pushes back, with what it then waits for. */
  pushesBackAfter: { readonly text: string; readonly pressure: Promise<void> } | undefined;
  /** Everything that is applied is durable as soon as the log holds it. */
  flushesAlways = true;
  private logged: LogIndex = Number.POSITIVE_INFINITY;
  /** States that wait for the log: what they are applied to, and how many values that are. */
  private waiting: { readonly meta: SnapshotMeta; readonly count: number }[] = [];
  /** Payload that the machine refuses. */
  poison: string | undefined;
  /** Snapshots taken in by this machine. */
  installed = 0;
  /** Snapshots cut from this machine, and those given back. */
  cuts = 0;
  cutsClosed = 0;
  /** Segments that began to leave. */
  segmentsSent = 0;
  /** Held open before the first frame of a segment leaves. */
  snapshotGate: Promise<void> | undefined;
  private meta: SnapshotMeta;
  private readonly durable: Durable;

  constructor(durable: Durable) {
    this.durable = durable;
    this.values = [...durable.values];
    this.meta = durable.meta;
  }

  applied(): SnapshotMeta {
    return this.meta;
  }

  durableIndex(): LogIndex {
    return this.durable.meta.index;
  }

  flush(): void {
    this.waiting.push({ meta: this.meta, count: this.values.length });
    this.flushLogged();
  }

  logStable(index: LogIndex): void {
    this.logged = index;
    this.flushLogged();
  }

  private flushLogged(): void {
    const last = this.waiting.findLast(({ meta }) => meta.index <= this.logged);
    if (last === undefined) return;
    this.waiting = this.waiting.filter(({ meta }) => meta.index > last.meta.index);
    this.durable.meta = last.meta;
    this.durable.values = this.values.slice(0, last.count);
  }

  apply(entries: readonly CommittedEntry[]): unknown[] {
    const results = entries.map((entry) => {
      assert.equal(entry.index, this.meta.index + 1, 'entries come in order');
      const text = entry.payload.toString();
      if (this.poison !== undefined && text === this.poison) throw new Error(`unknown opcode in ${text}`);
      this.meta = { index: entry.index, term: entry.term, conf: entry.conf ?? this.meta.conf };
      this.appliedIndexes.push(entry.index);
      if (entry.kind === 0 && entry.payload.length > 0) this.values.push(text);
      if (this.endsBatch(entry)) this.pressure = this.pushesBackAfter!.pressure;
      return this.values.length;
    });
    if (this.flushesAlways) this.flush();
    return results;
  }

  applyPressure(): Promise<void> | undefined {
    return this.pressure;
  }

  endsBatch(entry: Entry): boolean {
    return this.pushesBackAfter?.text === entry.payload.toString();
  }

  onLeadership(event: LeadershipEvent): void {
    this.leadership.push(event);
  }

  async openSnapshot(): Promise<SnapshotReader> {
    const gate = this.snapshotGate;
    const { meta } = this;
    const segments: Buffer[] = [];
    for (let at = 0; at < this.values.length; at += SEGMENT_VALUES) {
      segments.push(Buffer.from(JSON.stringify(this.values.slice(at, at + SEGMENT_VALUES))));
    }
    this.cuts += 1;
    return {
      meta,
      manifest: Buffer.from(JSON.stringify({ meta, hashes: segments.map(hashOf) })),
      segments: segments.map(({ length }) => length),
      frames: async function* (this: ListMachine, at: number): AsyncGenerator<Buffer> {
        await gate;
        this.segmentsSent += 1;
        const bytes = segments[at]!;
        for (let from = 0; from < bytes.length; from += FRAME_BYTES) yield bytes.subarray(from, from + FRAME_BYTES);
      }.bind(this),
      close: async () => {
        this.cutsClosed += 1;
      },
    };
  }

  async stageSnapshot(_group: number, manifest: Buffer): Promise<SnapshotStage> {
    const { meta, hashes } = JSON.parse(manifest.toString()) as { meta: SnapshotMeta; hashes: string[] };
    const { segments } = this.durable;
    return {
      segments: hashes.length,
      missing: hashes.flatMap((hash, at) => (segments.has(hash) ? [] : [at])),
      receive: async (at, frames) => {
        const pieces: Buffer[] = [];
        for await (const frame of frames) pieces.push(frame);
        const bytes = Buffer.concat(pieces);
        assert.equal(hashOf(bytes), hashes[at], 'the segment is what was announced');
        segments.set(hashes[at]!, bytes);
      },
      finish: async () => meta,
      install: async () => {
        assert(meta.index > this.meta.index, 'a snapshot does not move the applied index back');
        this.values = hashes.flatMap((hash) => JSON.parse(segments.get(hash)!.toString()) as string[]);
        this.meta = meta;
        this.installed += 1;
        segments.clear();
        this.waiting = [];
        this.durable.meta = meta;
        this.durable.values = [...this.values];
      },
      discard: async () => {},
    };
  }

  async close(): Promise<void> {}
}
