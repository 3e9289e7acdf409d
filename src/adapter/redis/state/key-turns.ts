/**
 * Turns of a node's transactions that name the same keys. Those that run side by side read the same values, and all but one have to begin again: twenty scripts
 * on one queue would need twenty rounds, and give up before. One after the other they need one each; those that wait meanwhile may have their turn together.
 */

import { KinGathering, type KinGatheringParts } from './kin-gathering.ts';

/** More keys than this are not looked at: whoever names so many hardly meets the same ones again. */
const MAX_KEYS = 64;
/** Names of a turn beyond which nobody joins it who need not be behind it. */
const MAX_GATHERED = 256;
/** Kins that are remembered; of the one that was met first it is forgotten how its turns come. */
const MAX_KINS = 256;

/** Runs what has come together, in its order. Must not fail. */
export type RunTogether<Item> = (items: readonly Item[]) => Promise<void>;

/** A key's name, or whoever else wants to have one turn after the other. */
type Name = string | object;

const NOBODY: ReadonlySet<Turn> = new Set();

/** What begins when all that is before it has ended. */
interface Turn {
  readonly names: Set<Name>;
  readonly ended: Promise<void>;
  /** What it waits for; nothing once it has begun. */
  before: ReadonlySet<Turn>;
  /** What may still be joined; undefined once it has begun, and of work that runs alone. */
  items: unknown[] | undefined;
}

/** How an item joins others. */
export interface JoinOptions {
  /** Items of a turn, at most. */
  readonly most: number;
  /** What joins for one source is done in its order, whatever keys it has. */
  readonly source: object;
  /** Items of one kin that wait for nothing begin together (`KinGathering`); undefined: it has none. */
  readonly kin: string | undefined;
}

export class KeyTurns {
  private readonly parts: KinGatheringParts;
  /** The last turn in which a name is. */
  private readonly last = new Map<Name, Turn>();
  /** By kin, what has come lately and waits for nothing else. */
  private readonly gathering = new Map<string, Turn>();
  private readonly kins = new Map<string, KinGathering>();

  constructor(parts: KinGatheringParts) {
    this.parts = parts;
  }

  /** Whether work with these keys has turns: of many it begins at once. */
  covers(keys: readonly Buffer[]): boolean {
    return keys.length <= MAX_KEYS;
  }

  /** Does something after all that has begun before and shares a key. */
  async take<T>(keys: readonly Buffer[], work: () => Promise<T>): Promise<T> {
    if (!this.covers(keys)) return work();
    return this.begin(namesOf(keys), undefined, work);
  }

  /**
   * Does something after all that has begun before and shares a key, together with what waits for nothing else.
   * @param run the same for all that join, and so are their items
   */
  join<Item>(keys: readonly Buffer[], item: Item, run: RunTogether<Item>, options: JoinOptions): Promise<void> {
    if (!this.covers(keys)) return run([item]);
    const { most, source, kin } = options;
    const names = namesOf(keys).add(source);
    const turn = this.lastBefore(names) ?? this.gathered(names, kin);
    if (turn?.items === undefined || turn.items.length >= most) {
      const items: Item[] = [item];
      return this.begin(names, items, () => run(items), kin === undefined ? undefined : { kin, most });
    }
    turn.items.push(item);
    if (kin !== undefined) this.kins.get(kin)?.joined();
    for (const name of names) {
      turn.names.add(name);
      this.last.set(name, turn);
    }
    return turn.ended;
  }

  /** The turn that may be joined, because it waits for all others that have one of these names. */
  private lastBefore(names: ReadonlySet<Name>): Turn | undefined {
    const before = this.before(names);
    for (const turn of before) {
      if (turn.items === undefined) continue;
      const awaited = awaitedBy(turn);
      if ([...before].every((one) => one === turn || awaited.has(one))) return turn;
    }
    return undefined;
  }

  /** The turn of others that have come just now; undefined for what waits for something. */
  private gathered(names: ReadonlySet<Name>, kin: string | undefined): Turn | undefined {
    const turn = kin === undefined ? undefined : this.gathering.get(kin);
    if (turn === undefined || turn.names.size + names.size > MAX_GATHERED) return undefined;
    return this.before(names).size === 0 ? turn : undefined;
  }

  private before(names: ReadonlySet<Name>): Set<Turn> {
    return new Set([...names].map((name) => this.last.get(name)).filter((turn) => turn !== undefined));
  }

  private async begin<T>(
    names: Set<Name>,
    items: unknown[] | undefined,
    work: () => Promise<T>,
    gathered?: { readonly kin: string; readonly most: number },
  ): Promise<T> {
    const before = this.before(names);
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const turn: Turn = { names, ended, before, items };
    for (const name of names) this.last.set(name, turn);
    try {
      if (before.size > 0) await Promise.all([...before].map((one) => one.ended));
      else if (gathered !== undefined) return await this.gatheredTurn(turn, gathered.kin, gathered.most, work);
      else await undefined;
      turn.before = NOBODY;
      turn.items = undefined;
      return await work();
    } finally {
      end();
      for (const name of names) if (this.last.get(name) === turn) this.last.delete(name);
    }
  }

  /** Does the work of a turn that waits for nothing but more of its kin. */
  private async gatheredTurn<T>(turn: Turn, kin: string, most: number, work: () => Promise<T>): Promise<T> {
    const items = turn.items!;
    const gathering = this.kinOf(kin);
    this.gathering.set(kin, turn);
    await gathering.isRipe(() => items.length, most);
    if (this.gathering.get(kin) === turn) this.gathering.delete(kin);
    turn.items = undefined;
    const ended = gathering.begin();
    try {
      return await work();
    } finally {
      ended(items.length, this.gathering.get(kin)?.items?.length ?? 0);
    }
  }

  private kinOf(kin: string): KinGathering {
    let known = this.kins.get(kin);
    if (known === undefined) {
      if (this.kins.size === MAX_KINS) this.kins.delete(this.kins.keys().next().value!);
      known = new KinGathering(this.parts);
      this.kins.set(kin, known);
    }
    return known;
  }
}

const namesOf = (keys: readonly Buffer[]): Set<Name> => new Set(keys.map((key) => key.toString('latin1')));

/** Everything that ends before a turn begins. */
function awaitedBy(turn: Turn): Set<Turn> {
  const awaited = new Set<Turn>();
  const found = [...turn.before];
  for (let one = found.pop(); one !== undefined; one = found.pop()) {
    if (awaited.has(one)) continue;
    awaited.add(one);
    found.push(...one.before);
  }
  return awaited;
}
