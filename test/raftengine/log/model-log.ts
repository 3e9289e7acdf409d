/** What a log store should hold, kept in the plainest way. */
import assert from 'node:assert/strict';
import type { GroupId, LogIndex, Term } from '../../../src/platform/index.ts';
import type { LogStore, LogWrite } from '../../../src/raftengine/contract/types.ts';
import type { Entry, HardState } from '../../../src/raftengine/core/types.ts';

interface GroupModel {
  hard: HardState;
  beforeIndex: LogIndex;
  beforeTerm: Term;
  entries: Entry[];
}

const empty = (): GroupModel => ({
  hard: { term: 0, vote: 0, commitIndex: 0 },
  beforeIndex: 0,
  beforeTerm: 0,
  entries: [],
});

const show = (entries: readonly Entry[]): string =>
  entries.map((e) => `${e.term}/${e.index}/${e.kind}:${e.payload.toString('latin1')}`).join(' ');

export class ModelLog {
  private readonly groups = new Map<GroupId, GroupModel>();

  copy(): ModelLog {
    const copy = new ModelLog();
    for (const [id, group] of this.groups) copy.groups.set(id, { ...group, entries: [...group.entries] });
    return copy;
  }

  write(write: LogWrite): void {
    if (write.resetTo === undefined && write.hardState === undefined && write.entries.length === 0) return;
    const group = this.groups.get(write.groupId) ?? empty();
    this.groups.set(write.groupId, group);
    if (write.resetTo !== undefined) {
      group.beforeIndex = write.resetTo.index;
      group.beforeTerm = write.resetTo.term;
      group.entries = [];
    }
    const first = write.entries[0];
    if (first !== undefined)
      group.entries = [...group.entries.filter((entry) => entry.index < first.index), ...write.entries];
    group.hard = write.hardState ?? group.hard;
  }

  truncate(id: GroupId, upTo: LogIndex, term: Term): void {
    const group = this.groups.get(id)!;
    group.beforeIndex = upTo;
    group.beforeTerm = term;
    group.entries = group.entries.filter((entry) => entry.index > upTo);
  }

  /** @returns whether it was there */
  remove(id: GroupId): boolean {
    return this.groups.delete(id);
  }

  check(store: LogStore, when: string): void {
    const difference = this.differsFrom(store, true);
    if (difference !== undefined) assert.fail(`${when}: ${difference}`);
  }

  /**
   * In words where a store holds something else; undefined when it does not. Unless `exact`, the store may have forgotten
   * fewer or more entries at the front: truncation is lazy and only what both hold is compared.
   */
  differsFrom(store: LogStore, exact = false): string | undefined {
    for (const id of store.groups()) if (!this.groups.has(id)) return `group ${id} should not be there`;
    for (const [id, group] of this.groups) {
      const log = store.group(id);
      const last = group.beforeIndex + group.entries.length;
      if (log.lastIndex() !== last) return `group ${id} ends at ${log.lastIndex()}, not at ${last}`;
      if (JSON.stringify(log.hardState()) !== JSON.stringify(group.hard))
        return `group ${id} has hard state ${JSON.stringify(log.hardState())}, not ${JSON.stringify(group.hard)}`;
      if (exact && log.firstIndex() !== group.beforeIndex + 1)
        return `group ${id} begins at ${log.firstIndex()}, not at ${group.beforeIndex + 1}`;
      const from = Math.max(group.beforeIndex + 1, log.firstIndex());
      const expected = group.entries.filter((entry) => entry.index >= from);
      const found = log.entries(from, last + 1, Number.POSITIVE_INFINITY) ?? [];
      if (show(found) !== show(expected)) return `group ${id} holds other entries`;
      const beforeTerm =
        from - 1 === group.beforeIndex ? group.beforeTerm : group.entries.find((e) => e.index === from - 1)?.term;
      if (log.term(from - 1) !== beforeTerm) return `group ${id} has term ${log.term(from - 1)} at ${from - 1}`;
    }
    return undefined;
  }

  /** Takes over where the store's logs begin, after `differsFrom` found them equal. */
  adoptTruncations(store: LogStore): void {
    for (const [id, group] of this.groups) {
      const log = store.group(id);
      group.beforeIndex = log.firstIndex() - 1;
      group.beforeTerm = log.term(group.beforeIndex)!;
      group.entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.POSITIVE_INFINITY)!;
    }
  }
}
