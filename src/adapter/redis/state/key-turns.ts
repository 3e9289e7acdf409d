/**
 * Turns of a node's transactions that name the same keys. Those that run side by side read the same values, and all but one have to begin again: twenty scripts
 * on one queue would need twenty rounds, and give up before. One after the other they need one each; those that wait meanwhile may have their turn together.
 */

/** More keys than this are not looked at: whoever names so many hardly meets the same ones again. */
const MAX_KEYS = 64;

/** Runs what has come together, in its order. Must not fail. */
export type RunTogether<Item> = (items: readonly Item[]) => Promise<void>;

/** What begins when all that is before it has ended. */
interface Turn {
  readonly names: Set<string>;
  readonly ended: Promise<void>;
  /** What may still be joined; undefined once it has begun, and of work that runs alone. */
  items: unknown[] | undefined;
}

export class KeyTurns {
  /** The last turn in which a key's name is. */
  private readonly last = new Map<string, Turn>();

  /** Does something after all that has begun before and shares a key. */
  async take<T>(keys: readonly Buffer[], work: () => Promise<T>): Promise<T> {
    if (keys.length > MAX_KEYS) return work();
    return this.begin(namesOf(keys), undefined, work);
  }

  /**
   * Does something after all that has begun before and shares a key, together with what waits for nothing else.
   * @param most items of a turn
   * @param run the same for all that join, and so are their items
   */
  join<Item>(keys: readonly Buffer[], item: Item, most: number, run: RunTogether<Item>): Promise<void> {
    if (keys.length > MAX_KEYS) return run([item]);
    const names = namesOf(keys);
    const turn = this.onlyBefore(names);
    if (turn?.items === undefined || turn.items.length >= most) {
      const items: Item[] = [item];
      return this.begin(names, items, () => run(items));
    }
    turn.items.push(item);
    for (const name of names) {
      turn.names.add(name);
      this.last.set(name, turn);
    }
    return turn.ended;
  }

  /** The turn that is behind everything that has one of these names; undefined when there are none or several. */
  private onlyBefore(names: ReadonlySet<string>): Turn | undefined {
    const before = this.before(names);
    return before.size === 1 ? [...before][0] : undefined;
  }

  private before(names: ReadonlySet<string>): Set<Turn> {
    return new Set([...names].map((name) => this.last.get(name)).filter((turn) => turn !== undefined));
  }

  private async begin<T>(names: Set<string>, items: unknown[] | undefined, work: () => Promise<T>): Promise<T> {
    const before = this.before(names);
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const turn: Turn = { names, ended, items };
    for (const name of names) this.last.set(name, turn);
    try {
      await Promise.all([...before].map((one) => one.ended));
      turn.items = undefined;
      return await work();
    } finally {
      end();
      for (const name of names) if (this.last.get(name) === turn) this.last.delete(name);
    }
  }
}

const namesOf = (keys: readonly Buffer[]): Set<string> => new Set(keys.map((key) => key.toString('latin1')));
