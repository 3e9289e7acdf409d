/** A state machine that keeps every payload it was given, for tests of the engine. */
import assert from 'node:assert/strict';
import type { LogIndex } from '../../../src/platform/index.ts';
import type {
  CommittedEntry,
  Entry,
  LeadershipEvent,
  SnapshotMeta,
  SnapshotReader,
  SnapshotStage,
  StateMachine,
} from '../../../src/raftengine/index.ts';

const NOBODY = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** What survives a crash of the machine. */
export interface Durable {
  meta: SnapshotMeta;
  values: readonly string[];
}

export function emptyDurable(): Durable {
  return { meta: { index: 0, term: 0, conf: NOBODY }, values: [] };
}

const FRAME_VALUES = 100;

export class ListMachine implements StateMachine {
  /** Payloads of normal entries, in the order of the log. */
  values: string[];
  readonly leadership: LeadershipEvent[] = [];
  readonly appliedIndexes: LogIndex[] = [];
  /** Set to make the machine push back. */
  pressure: Promise<void> | undefined;
  /** Entry after which the machine pushes back, with what it then waits for. */
  pushesBackAfter: { readonly text: string; readonly pressure: Promise<void> } | undefined;
  /** Everything that is applied is durable at once. */
  flushesAlways = true;
  /** Payload that the machine refuses. */
  poison: string | undefined;
  /** Snapshots taken in by this machine. */
  installed = 0;
  /** Held open before the first frame of a snapshot leaves. */
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
    this.durable.meta = this.meta;
    this.durable.values = [...this.values];
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
    const values = [...this.values];
    const gate = this.snapshotGate;
    const meta = this.meta;
    return {
      meta,
      async *frames() {
        await gate;
        yield Buffer.from(JSON.stringify(meta));
        for (let at = 0; at < values.length; at += FRAME_VALUES) {
          yield Buffer.from(JSON.stringify(values.slice(at, at + FRAME_VALUES)));
        }
        yield Buffer.from('"end"');
      },
      close: async () => {},
    };
  }

  async stageSnapshot(): Promise<SnapshotStage> {
    const staged: string[] = [];
    let complete = false;
    let meta: SnapshotMeta | undefined;
    return {
      write: async (frame: Buffer) => {
        const part = JSON.parse(frame.toString()) as SnapshotMeta | string[] | 'end';
        if (part === 'end') complete = true;
        else if (Array.isArray(part)) staged.push(...part);
        else meta = part;
      },
      finish: async () => {
        assert(complete && meta !== undefined, 'the snapshot is cut');
        return meta;
      },
      install: async () => {
        assert(meta !== undefined && meta.index > this.meta.index, 'a snapshot does not move the applied index back');
        this.values = staged;
        this.meta = meta;
        this.installed += 1;
        this.flush();
      },
      discard: async () => {},
    };
  }

  async close(): Promise<void> {}
}
