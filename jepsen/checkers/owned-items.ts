/**
 * What reads of items may show whose writes come from one client each, in a known order: a read shows no version older than the
 * newest that was acknowledged or read before it began, and none that began after it ended or was refused. An index has rows for exactly the items
 * that have its key, and a stream every change once and in order.
 */
import { type Checker, type CheckResult, type Op, type PairedOp, pairOps } from '../history.ts';
import type { OwnedWrite } from '../workloads/dynamodb/owned-items.ts';

/** What a query has found: items by their keys. */
export type Found = readonly (readonly [key: string, version: number])[];

/** Everything there is, in calm: items of the table with what they are found by, and rows of each index. */
export interface Compared {
  readonly items: readonly (readonly [key: string, version: number, colour: string | null])[];
  /** By name; `isSparse` when it has only items with a colour. */
  readonly indexes: Readonly<Record<string, { readonly isSparse: boolean; readonly rows: Found }>>;
}

/** One record of a stream: the versions before and after; null where there was none, or is none. */
export type Change = readonly [key: string, before: number | null, after: number | null];

/** A stream from its beginning to its end, and the items then. */
export interface Drained {
  readonly changes: readonly Change[];
  readonly items: Found;
}

const result = (problems: readonly string[], facts: Record<string, unknown>, isUnknown: boolean): CheckResult => ({
  valid: problems.length > 0 ? false : isUnknown ? 'unknown' : true,
  problems,
  facts,
});

const isRefused = ({ completion }: PairedOp): boolean => completion?.type === 'fail';

/** What is known of one item up to some event. */
class ItemHistory {
  /** Writes that were begun and not refused, by version. */
  readonly writes = new Map<number, OwnedWrite>();
  /** The newest version that is certain; 0 while it may not be there yet. */
  least = 0;
  most = 0;

  /** Whether one of the states that it may have had from version `least` on fits. */
  mayBe(least: number, fits: (write: OwnedWrite | undefined) => boolean): boolean {
    if (least === 0 && fits(undefined)) return true;
    for (let version = Math.max(1, least); version <= this.most; version++) {
      const write = this.writes.get(version);
      if (write !== undefined && fits(write)) return true;
    }
    return false;
  }

  /** What it may have been, in words. */
  described(least: number): string {
    return least === this.most ? `version ${least}` : `versions ${least} to ${this.most}`;
  }
}

const isAbsent = (write: OwnedWrite | undefined): boolean => write === undefined || write.how === 'delete';

/** Judges reads event by event. */
class ReadJudge {
  readonly problems: string[] = [];
  reads = 0;
  private readonly items = new Map<string, ItemHistory>();

  private item(key: string): ItemHistory {
    const known = this.items.get(key);
    if (known !== undefined) return known;
    const made = new ItemHistory();
    this.items.set(key, made);
    return made;
  }

  begin(write: OwnedWrite): void {
    const item = this.item(write.key);
    item.writes.set(write.version, write);
    item.most = Math.max(item.most, write.version);
  }

  done({ key, version }: Pick<OwnedWrite, 'key' | 'version'>): void {
    const item = this.item(key);
    item.least = Math.max(item.least, version);
  }

  /** The versions that are certain now. */
  leasts(): ReadonlyMap<string, number> {
    return new Map([...this.items].map(([key, { least }]) => [key, least]));
  }

  got(op: Op, leasts: ReadonlyMap<string, number>): void {
    this.reads++;
    const [key, version] = op.value as readonly [string, number | null];
    const item = this.item(key);
    const least = leasts.get(key) ?? 0;
    const fits = (write: OwnedWrite | undefined): boolean =>
      version === null ? isAbsent(write) : !isAbsent(write) && write?.version === version;
    if (!item.mayBe(least, fits)) {
      const shown = version === null ? 'nothing' : `version ${version}`;
      this.problems.push(`event ${op.index}: ${key} was read as ${shown}, possible were ${item.described(least)}`);
    }
    if (version !== null) this.done({ key, version });
  }

  queried(op: Op, leasts: ReadonlyMap<string, number>): void {
    this.reads++;
    const { index, colour, found } = op.value as { index: string; colour: string; found: Found };
    const where = `event ${op.index}: ${index}, ${colour}:`;
    const shown = new Map(found);
    if (shown.size !== found.length) this.problems.push(`${where} an item is there twice`);
    for (const [key, item] of this.items) {
      const version = shown.get(key);
      const least = leasts.get(key) ?? 0;
      const fits = (write: OwnedWrite | undefined): boolean =>
        version === undefined
          ? isAbsent(write) || write?.colour !== colour
          : !isAbsent(write) && write?.version === version && write.colour === colour;
      if (item.mayBe(least, fits)) continue;
      const seen = version === undefined ? 'is missing' : `is there as version ${version}`;
      this.problems.push(`${where} ${key} ${seen}, possible were ${item.described(least)}`);
    }
    for (const [key, version] of found) {
      if (this.items.has(key)) this.done({ key, version });
      else this.problems.push(`${where} ${key} is there, which nobody has written`);
    }
  }
}

function compareAll({ items, indexes }: Compared, event: number): string[] {
  const problems: string[] = [];
  for (const [name, { isSparse, rows }] of Object.entries(indexes)) {
    const wanted = new Set(
      items
        .filter(([, , colour]) => !isSparse || colour !== null)
        .map(([key, version]) => `${key} of version ${version}`),
    );
    const present = rows.map(([key, version]) => `${key} of version ${version}`);
    const lost = [...wanted].filter((row) => !present.includes(row));
    const ghosts = present.filter((row) => !wanted.has(row));
    if (lost.length > 0) problems.push(`event ${event}: ${name} has lost ${lost.slice(0, 5).join(', ')}`);
    if (ghosts.length > 0)
      problems.push(`event ${event}: ${name} has ${ghosts.slice(0, 5).join(', ')}, and the table does not`);
    if (new Set(present).size !== present.length) problems.push(`event ${event}: ${name} has a row twice`);
  }
  return problems;
}

/**
 * Operations: `write` an `OwnedWrite`; `get` -> key and version, null when it is not there; `query` -> index, colour and what was found; `compare` -> `Compared`.
 * Others are not looked at.
 */
export const indexChecker: Checker = {
  name: 'index',
  check(history) {
    const judge = new ReadJudge();
    const begun = new Map<number, () => void>();
    const ended = new Map<number, () => void>();
    let comparisons = 0;
    for (const pair of pairOps(history)) {
      const { invoke, completion } = pair;
      if (invoke.f === 'write' && !isRefused(pair)) {
        const write = invoke.value as OwnedWrite;
        begun.set(invoke.index, () => judge.begin(write));
        if (completion?.type === 'ok') ended.set(completion.index, () => judge.done(write));
      }
      if (completion?.type !== 'ok') continue;
      if (invoke.f === 'compare') {
        comparisons++;
        ended.set(completion.index, () =>
          judge.problems.push(...compareAll(completion.value as Compared, completion.index)),
        );
      }
      if (invoke.f !== 'get' && invoke.f !== 'query') continue;
      let leasts: ReadonlyMap<string, number> = new Map();
      begun.set(invoke.index, () => {
        leasts = judge.leasts();
      });
      ended.set(completion.index, () =>
        invoke.f === 'get' ? judge.got(completion, leasts) : judge.queried(completion, leasts),
      );
    }
    for (const { index } of history) (begun.get(index) ?? ended.get(index))?.();
    const { problems, reads } = judge;
    return result(problems, { reads, comparisons }, reads === 0 || comparisons === 0);
  },
};

/** Changes of each item, in order. */
function byItem(changes: readonly Change[]): Map<string, Change[]> {
  const items = new Map<string, Change[]>();
  for (const change of changes) items.set(change[0], [...(items.get(change[0]) ?? []), change]);
  return items;
}

/** What is wrong with the changes of a stream from its beginning, whatever was acknowledged. */
function chainProblems(where: string, chains: ReadonlyMap<string, readonly Change[]>, writes: KnownWrites): string[] {
  const problems: string[] = [];
  for (const [key, chain] of chains) {
    let last: number | null = null;
    let newest = 0;
    for (const [, before, after] of chain) {
      if (before !== last)
        problems.push(`${where}: ${key} was ${before} before a change, and ${last} after the one before`);
      if (after !== null && after <= newest) problems.push(`${where}: ${key} becomes ${after} after ${newest}`);
      if (after !== null && writes.find(key, after) === undefined)
        problems.push(`${where}: ${key} becomes ${after}, which nobody has written or which was refused`);
      if (after === null && !writes.mayBeDeleted(key))
        problems.push(`${where}: ${key} is deleted, and nobody has done that`);
      last = after;
      newest = Math.max(newest, after ?? 0);
    }
  }
  return problems;
}

/** Writes that were not refused. */
class KnownWrites {
  readonly acknowledged: { readonly write: OwnedWrite; readonly at: number }[] = [];
  private readonly writes = new Map<string, OwnedWrite>();
  private readonly deleted = new Set<string>();

  constructor(pairs: readonly PairedOp[]) {
    for (const pair of pairs) {
      if (pair.invoke.f !== 'write' || isRefused(pair)) continue;
      const write = pair.invoke.value as OwnedWrite;
      this.writes.set(`${write.key} ${write.version}`, write);
      if (write.how === 'delete') this.deleted.add(write.key);
      if (pair.completion?.type === 'ok') this.acknowledged.push({ write, at: pair.completion.index });
    }
  }

  find(key: string, version: number): OwnedWrite | undefined {
    return this.writes.get(`${key} ${version}`);
  }

  mayBeDeleted(key: string): boolean {
    return this.deleted.has(key);
  }
}

/**
 * Operations: `write` an `OwnedWrite`; `tail` (number of a reader) -> changes since that reader's tail before, from the beginning of the stream; `drain` ->
 * `Drained`. A drain has every change that was acknowledged before it, and rebuilds the table; a reader that went along has seen the same.
 */
export const streamChecker: Checker = {
  name: 'stream',
  check(history) {
    const pairs = pairOps(history);
    const writes = new KnownWrites(pairs);
    const problems: string[] = [];
    const drains = pairs.filter(({ invoke, completion }) => invoke.f === 'drain' && completion?.type === 'ok');
    let whole: ReadonlyMap<string, readonly Change[]> = new Map();
    for (const { invoke, completion } of drains) {
      const { changes, items } = completion!.value as Drained;
      const where = `the stream at event ${completion!.index}`;
      const chains = byItem(changes);
      problems.push(...chainProblems(where, chains, writes));
      for (const { write, at } of writes.acknowledged) {
        if (at > invoke.index) continue;
        const chain = chains.get(write.key) ?? [];
        const isThere =
          write.how === 'delete' ? chain.at(-1)?.[2] === null : chain.some(([, , after]) => after === write.version);
        if (!isThere) problems.push(`${where}: ${write.key} has no change to version ${write.version} (${write.how})`);
      }
      const rebuilt = [...chains].flatMap(([key, chain]) =>
        chain.at(-1)![2] === null ? [] : [`${key} ${chain.at(-1)![2]}`],
      );
      const present = new Set(items.map(([key, version]) => `${key} ${version}`));
      const missing = [...present].filter((item) => !rebuilt.includes(item));
      const left = rebuilt.filter((item) => !present.has(item));
      if (missing.length > 0) problems.push(`${where}: does not lead to ${missing.slice(0, 5).join(', ')}`);
      if (left.length > 0)
        problems.push(`${where}: leads to ${left.slice(0, 5).join(', ')}, and the table does not have that`);
      whole = chains;
    }
    const readers = new Map<unknown, Change[]>();
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'tail' || completion?.type !== 'ok') continue;
      const { changes } = completion.value as { readonly changes: readonly Change[] };
      readers.set(invoke.value, [...(readers.get(invoke.value) ?? []), ...changes]);
    }
    for (const [reader, changes] of readers) {
      const where = `reader ${String(reader)}`;
      const chains = byItem(changes);
      problems.push(...chainProblems(where, chains, writes));
      if (drains.length === 0) continue;
      for (const [key, chain] of chains) {
        const wanted = JSON.stringify((whole.get(key) ?? []).slice(0, chain.length));
        if (JSON.stringify(chain) !== wanted)
          problems.push(`${where}: has seen other changes of ${key} than the stream has`);
      }
    }
    const facts = { acknowledged: writes.acknowledged.length, readers: readers.size, drains: drains.length };
    return result(problems, facts, drains.length === 0);
  },
};
