/**
 * A log store on LevelDB, the way that the write-ahead log is measured against: one synced batch per write, calls that
 * arrive meanwhile are gathered into the next batch. Entries are kept in memory as well; it does as much as a benchmark
 * needs and is opened empty.
 */
import { ClassicLevel } from 'classic-level';
import type { GroupId, LogIndex, Term } from '../src/platform/index.ts';
import type { GroupLog, LogStore, LogWrite } from '../src/raftengine/contract/types.ts';
import type { Entry, HardState } from '../src/raftengine/core/types.ts';

type Operation = { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer };

const ENTRY = 1;
const HARD_STATE = 2;
const KEY_BYTES = 13;

function keyOf(group: GroupId, kind: number, index: LogIndex): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  key.writeUInt32BE(group, 0);
  key.writeUInt8(kind, 4);
  key.writeBigUInt64BE(BigInt(index), 5);
  return key;
}

class LevelGroup implements GroupLog {
  hard: HardState = { term: 0, vote: 0, commitIndex: 0 };
  held: Entry[] = [];
  before: LogIndex = 0;
  beforeTerm: Term = 0;

  hardState(): HardState {
    return this.hard;
  }

  sizeBytes(): number {
    return this.held.reduce((bytes, entry) => bytes + entry.payload.length, 0);
  }

  firstIndex(): LogIndex {
    return this.before + 1;
  }

  lastIndex(): LogIndex {
    return this.before + this.held.length;
  }

  term(index: LogIndex): Term | undefined {
    return index === this.before ? this.beforeTerm : this.held[index - this.before - 1]?.term;
  }

  entries(from: LogIndex, to: LogIndex): Entry[] | undefined {
    return from <= this.before ? undefined : this.held.slice(from - this.before - 1, to - this.before - 1);
  }
}

export class LevelLogStore implements LogStore {
  private readonly level: ClassicLevel<Buffer, Buffer>;
  private readonly byId = new Map<GroupId, LevelGroup>();
  private gathered: Operation[] = [];
  private waiting: (() => void)[] = [];
  private isWriting = false;

  private constructor(level: ClassicLevel<Buffer, Buffer>) {
    this.level = level;
  }

  static async open(folder: string): Promise<LevelLogStore> {
    const level = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    await level.open();
    return new LevelLogStore(level);
  }

  groups(): GroupId[] {
    return [...this.byId.keys()];
  }

  group(id: GroupId): LevelGroup {
    let group = this.byId.get(id);
    if (group === undefined) {
      group = new LevelGroup();
      this.byId.set(id, group);
    }
    return group;
  }

  write(writes: readonly LogWrite[]): Promise<void> {
    for (const { groupId, entries, hardState } of writes) {
      const group = this.group(groupId);
      for (const entry of entries) {
        group.held.push(entry);
        const value = Buffer.allocUnsafe(9 + entry.payload.length);
        value.writeBigUInt64LE(BigInt(entry.term), 0);
        value.writeUInt8(entry.kind, 8);
        entry.payload.copy(value, 9);
        this.gathered.push({ type: 'put', key: keyOf(groupId, ENTRY, entry.index), value });
      }
      if (hardState === undefined) continue;
      group.hard = hardState;
      const value = Buffer.allocUnsafe(18);
      value.writeBigUInt64LE(BigInt(hardState.term), 0);
      value.writeUInt16LE(hardState.vote, 8);
      value.writeBigUInt64LE(BigInt(hardState.commitIndex), 10);
      this.gathered.push({ type: 'put', key: keyOf(groupId, HARD_STATE, 0), value });
    }
    return new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      if (!this.isWriting) this.pump().catch(reject);
    });
  }

  truncatePrefix(id: GroupId, upTo: LogIndex, termAtUpTo: Term): void {
    const group = this.group(id);
    const from = group.before + 1;
    group.held.splice(0, upTo - group.before);
    group.before = upTo;
    group.beforeTerm = termAtUpTo;
    void this.level.clear({ gte: keyOf(id, ENTRY, from), lte: keyOf(id, ENTRY, upTo) });
  }

  async removeGroup(id: GroupId): Promise<void> {
    this.byId.delete(id);
    await this.level.clear({ gte: keyOf(id, 0, 0), lt: keyOf(id, 255, 0) });
  }

  close(): Promise<void> {
    return this.level.close();
  }

  private async pump(): Promise<void> {
    this.isWriting = true;
    while (this.waiting.length > 0) {
      const [operations, waiting] = [this.gathered, this.waiting];
      this.gathered = [];
      this.waiting = [];
      await this.level.batch(operations, { sync: true });
      for (const resolve of waiting) resolve();
    }
    this.isWriting = false;
  }
}
